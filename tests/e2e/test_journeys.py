"""A team's first hour in a real browser, against the whole site."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Watched
from tests.e2e.server import Site

# One site and one browser serve them all.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("journeys")]

PASSWORD = "correct horse battery"
MANIFEST = """
schema_version = 1
name = "Nearest mean"
role = "defense"
task = "mnist5k"
framework = "torch"
entry = "player.py:NearestMean"
architecture = "architecture.py"
differentiable = true
"""


def package(path: Path, **files: str) -> Path:
    buffer = io.BytesIO()
    named = {
        "manifest.toml": MANIFEST,
        "player.py": "class NearestMean: ...",
        "architecture.py": "",
    }
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in (named | files).items():
            archive.writestr(name, text)
    path.write_bytes(buffer.getvalue())
    return path


def test_dana_signs_up_uploads_qualifies_enters_and_reads_her_match(
    site: Site, browser_page: Watched, tmp_path: Path
) -> None:
    page = browser_page.page
    browser_page.goto("/")
    page.get_by_role("link", name="Sign up", exact=True).click()
    page.get_by_label("Pseudonym").fill("dana")
    page.get_by_label("Email address").fill("dana@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()

    page.get_by_label("Name of the team").fill("Bulwark Lab")
    page.get_by_role("button", name="Create the team").click()
    expect(page.get_by_role("heading", name="Bulwark Lab")).to_be_visible()

    page.get_by_role("link", name="Upload", exact=True).click()
    page.set_input_files("input[type=file]", package(tmp_path / "mean.zip"))
    expect(page.get_by_text("mean.zip")).to_be_visible()
    page.get_by_role("button", name="Upload and qualify").click()
    page.wait_for_url(re.compile(r"/submissions/[a-z0-9]{12}/"))
    expect(page.locator(".state", has_text="Qualified")).to_be_visible()  # without a reload
    expect(page.get_by_text("97.0 %")).to_be_visible()

    page.get_by_role("link", name="Enter in Spring league on MNIST").click()
    expect(page.get_by_text("Disclosure.")).to_be_visible()
    page.get_by_label("I accept the terms").check()
    page.locator("#enter").get_by_role("button", name="Enter").click()
    expect(page.get_by_text("Your entries")).to_be_visible()

    page.get_by_role("link", name="Boards").click()
    row = page.locator(".board-defense tr", has_text="Nearest mean")
    expect(row).to_be_visible()  # the fold has put it there
    page.get_by_role("link", name="Matches").click()
    scored = page.locator("tr", has_text="Nearest mean").filter(has_text="Scored")
    expect(scored.first).to_be_visible()
    scored.first.get_by_role("link").click()
    expect(page.get_by_text("The attacker sees")).to_be_visible()
    expect(page.get_by_text("Provenance")).to_be_visible()
    expect(page.locator(".headlines")).to_contain_text("50.0 %")
    assert browser_page.complaints == []


def test_mallory_s_zip_is_refused_with_a_sentence(
    site: Site, browser_page: Watched, tmp_path: Path
) -> None:
    browser = browser_page.page.context.browser
    assert browser is not None
    mallory = Watched(browser.new_page(), site.url)
    page = mallory.page
    mallory.goto("/")
    page.get_by_role("link", name="Sign up", exact=True).click()
    page.get_by_label("Pseudonym").fill("mallory")
    page.get_by_label("Email address").fill("mallory@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    page.get_by_label("Name of the team").fill("Cheats")
    page.get_by_role("button", name="Create the team").click()
    expect(page.get_by_role("heading", name="Cheats")).to_be_visible()

    mallory.goto("/submissions/new/")
    evil = package(tmp_path / "evil.zip", **{"../../evil.py": "import os"})
    page.set_input_files("input[type=file]", evil)
    page.get_by_role("button", name="Upload and qualify").click()
    expect(page.get_by_role("alert")).to_contain_text("is not allowed as a file name")
    assert mallory.complaints == []
    page.context.close()


def test_no_page_breaks_the_content_security_policy(site: Site, browser_page: Watched) -> None:
    for path in ("/", "/tournaments/", "/tournaments/spring/", "/tournaments/spring/?round=4",
                 "/tournaments/spring/rules/", "/tournaments/spring/entries/", "/tasks/mnist5k/",
                 "/glossary/", "/profile/", "/submissions/"):  # fmt: skip
        browser_page.goto(path)
        browser_page.page.wait_for_load_state("load")
    assert browser_page.complaints == []


@pytest.mark.parametrize(
    "path", ["/", "/tournaments/spring/", "/tasks/mnist5k/", "/submissions/new/"]
)
def test_no_page_scrolls_sideways_on_a_phone(site: Site, browser_page: Watched, path: str) -> None:
    page = browser_page.page
    page.set_viewport_size({"width": 360, "height": 740})
    browser_page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1280, "height": 800})


def test_the_choice_of_light_or_dark_stays(site: Site, browser_page: Watched) -> None:
    page = browser_page.page
    browser_page.goto("/")
    before = page.locator("html").get_attribute("data-bs-theme")
    page.get_by_role("button", name="Change between light and dark").click()
    after = page.locator("html").get_attribute("data-bs-theme")
    assert {before, after} == {"light", "dark"}
    browser_page.goto("/tasks/")
    assert page.locator("html").get_attribute("data-bs-theme") == after


def test_open_pages_do_not_keep_the_server_from_ending(site: Site, browser_page: Watched) -> None:
    """Last of the file: it ends the site."""
    browser_page.goto("/tournaments/spring/")
    expect(browser_page.page.locator("[data-stream-state=live]")).to_be_visible()
    killed = site.stop()
    assert not killed
