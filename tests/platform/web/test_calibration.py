"""The calibration's page: the shipped lines, an operator's own, or an honest gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.test import Client

from arena import measured
from arena.measured import Line

MISSED = Line("D1", "Adversarial training", "89.3 %", "≥ 70 %", "61.0 %", (0.5, 0.7), False,
              "net <b>, seed 1", why="few images")  # fmt: skip


def shown() -> str:
    return Client().get("/calibration/").content.decode()


def test_the_shipped_lines_are_shown_and_linked_from_every_page(db: None) -> None:
    text = shown()
    for line in measured.read(measured.SHIPPED):
        assert line.id in text
    assert "Measured by the makers" in text
    assert 'href="/calibration/"' in Client().get("/glossary/").content.decode()


def test_an_operators_own_run_takes_their_place(db: None, settings: Any, tmp_path: Path) -> None:
    settings.CALIBRATION = str(tmp_path / "own.json")
    measured.write(tmp_path / "own.json", [MISSED])
    text = shown()
    assert "Measured on this site" in text
    assert "0 of 1 bars hold" in text
    assert "missed" in text
    assert "net &lt;b&gt;, seed 1. few images" in text
    answer = Client().get("/calibration.json")
    assert answer.content == (tmp_path / "own.json").read_bytes()


def test_where_no_file_is_there_the_page_says_so(db: None, settings: Any, tmp_path: Path) -> None:
    settings.CALIBRATION = str(tmp_path / "none.json")
    text = shown()
    assert "No calibration has been kept here" in text
    assert "make calibrate" in text
    assert Client().get("/calibration.json").status_code == 404
