"""What holds for every page."""

from __future__ import annotations

import io
import re

import numpy as np

from tests.platform.web.reading import Browser, text_of
from tests.platform.web.seeding import World


def test_no_page_holds_inline_script_or_style(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    for path in ("/", "/tournaments/spring/", f"/matches/{match.uid}/", "/tournaments/new/",
                 "/tasks/mnist5k/", "/glossary/"):  # fmt: skip
        page = text_of(as_(world.oscar).get(path))
        assert not re.search(r"<script(?![^>]*(\bsrc=|application/json))", page), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page), path


def test_every_term_on_a_page_is_in_the_glossary(world: World, as_: Browser) -> None:
    known = set(re.findall(r'<div id="([^"]+)">', text_of(as_(None).get("/glossary/"))))
    for path in ("/", "/tournaments/spring/", "/tournaments/spring/rules/", "/tasks/digits/"):
        used = set(re.findall(r"/glossary/#([\w-]+)", text_of(as_(None).get(path))))
        assert used <= known


def test_a_missing_page_says_where_to_go(db: None, as_: Browser) -> None:
    response = as_(None).get("/nothing/")
    assert response.status_code == 404
    assert "See the tournaments" in text_of(response)


def test_published_data_can_be_loaded(as_: Browser, db: None) -> None:
    with np.load(io.BytesIO(as_(None).get("/tasks/digits/train.npz").content)) as data:
        assert data["x"].dtype == np.float32
        assert len(data["x"]) == len(data["y"])
