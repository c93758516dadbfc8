"""A team's first hour in a real browser, against the whole site."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Watched
from tests.e2e.server import Site
from tests.platform.web.seeding import PASSWORD

# One site and one browser serve them all.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("journeys")]

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


ANOTHER_ENTRY = """
from accounts import services as accounts
from arena.manifest import Framework, Role
from submissions import artifacts
from tests.platform.web.seeding import member, submitted
from tournaments import services
from tournaments.models import Tournament
from pathlib import Path
eve = member("eve")
team = accounts.create_team(user=eve, name="Late Walls")
net = {"framework": Framework.TORCH, "differentiable": True}
row = submitted(team, eve, "Late wall", Role.DEFENSE, **net)
path = Path(artifacts.store().path(artifacts.name_of(row.sha256)))
path.parent.mkdir(parents=True, exist_ok=True)
path.touch()
services.enter(tournament=Tournament.objects.get(slug="spring"), submission=row, user=eve)
print("ENTRY Late wall")
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
    mallory = browser_page.another()
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


def test_no_page_breaks_the_content_security_policy(site: Site, ivy: Watched) -> None:
    for path in ("/", "/tournaments/", "/tournaments/spring/", "/tournaments/spring/?round=4",
                 "/tournaments/spring/rules/", "/tournaments/spring/entries/", "/tasks/mnist5k/",
                 "/glossary/", "/profile/", "/submissions/"):  # fmt: skip
        ivy.goto(path)
        ivy.page.wait_for_load_state("load")
    assert ivy.complaints == []


def test_a_new_verdict_shows_without_a_reload(
    site: Site, browser_page: Watched, tmp_path: Path
) -> None:
    """A visitor looks at the board while a late defense enters and plays."""
    page = browser_page.page
    browser_page.goto("/tournaments/spring/?round=3")
    expect(page.locator("[data-stream-state=live]")).to_be_visible(timeout=60_000)
    page.evaluate("window.stillTheSamePage = true")
    made = site.shell(ANOTHER_ENTRY).split("ENTRY")[1].strip()
    column = page.locator(".matrix thead th", has_text=made)
    expect(column).to_be_visible(timeout=60_000)
    row = page.locator(".board-defense tr", has_text=made)
    expect(row).to_be_visible(timeout=60_000)
    titles = f".matrix td a[title*='against {made}: success']"
    expect(page.locator(titles)).to_have_count(3, timeout=60_000)
    expect(page.locator("[data-stream-state=live]")).to_be_visible(
        timeout=60_000
    )  # also after swaps
    assert page.evaluate("window.stillTheSamePage") is True
    assert browser_page.complaints == []


def test_oscar_sets_switches_that_a_preset_fills_and_sees_what_will_be_played(
    site: Site, browser_page: Watched
) -> None:
    oscar = browser_page.another()
    page = oscar.page
    oscar.sign_in("oscar")
    oscar.goto("/tournaments/new/")
    offered = page.get_by_label("Norm").locator("option:not([disabled])")
    expect(offered).to_have_count(7)
    page.get_by_label("Norm").select_option("spatial")
    page.get_by_label("Game", exact=True).select_option("minimum_norm")
    expect(offered).to_have_count(5)
    expect(page.get_by_label("Norm")).to_have_value("linf")
    page.get_by_label("Game", exact=True).select_option("evasion")
    page.get_by_label("Title").first.fill("Autumn")
    page.get_by_label("Preset").select_option("grey")
    page.get_by_text("Switch by switch").first.click()
    expect(page.get_by_label("Architecture")).to_have_value("given")
    expect(page.get_by_label("Probes per example")).to_have_value("100")
    page.get_by_label("Architecture").select_option("hidden")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("The attacker sees data from the distribution, not the")
    page.get_by_label("Preset").select_option("black")
    expect(page.get_by_label("Architecture")).to_have_value("hidden")
    expect(page.get_by_label("Probes per example")).to_have_value("1000")
    page.get_by_label("square", exact=True).check()
    page.get_by_label("cnn", exact=True).check()
    expect(preview).to_contain_text("1 match of the house")
    page.get_by_label("Feedback").select_option("reply")
    page.get_by_label("Probes", exact=True).select_option("none")
    expect(preview).to_contain_text("Feedback: Feedback on candidates is charged as a probe")
    page.get_by_label("Feedback").select_option("none")
    expect(page.get_by_label("Oracle output")).to_be_hidden()
    page.get_by_label("Randomness").select_option("seed")
    expect(page.get_by_label("First mover")).to_be_hidden()
    page.get_by_label("Game", exact=True).select_option("poisoning")
    expect(page.get_by_label("First mover").locator("option:not([disabled])")).to_have_count(2)
    page.get_by_label("First mover").select_option("attacker")
    for switch in ("Training data", "Number of samples", "Feedback", "True labels"):
        expect(page.get_by_label(switch, exact=True)).to_have_count(1)
        expect(page.get_by_label(switch, exact=True)).to_be_hidden()
    expect(page.get_by_label("Randomness")).to_have_value("secret")
    expect(page.locator("option[value=seed]")).to_be_disabled()
    page.get_by_label("Game", exact=True).select_option("evasion")
    expect(page.get_by_label("First mover")).to_be_hidden()
    expect(page.get_by_label("First mover")).to_have_value("defender")
    expect(page.get_by_label("Training data", exact=True)).to_be_visible()
    expect(page.get_by_label("Number of samples")).to_have_value("150")
    page.get_by_role("button", name="Create the tournament").click()
    page.wait_for_url(re.compile("/organize/"))
    expect(page.get_by_role("heading", name="Autumn")).to_be_visible()
    assert oscar.complaints == []
    page.context.close()


@pytest.mark.parametrize(
    "path", ["/", "/tournaments/spring/", "/tasks/mnist5k/", "/submissions/new/"]
)
def test_no_page_scrolls_sideways_on_a_phone(site: Site, ivy: Watched, path: str) -> None:
    page = ivy.page
    page.set_viewport_size({"width": 360, "height": 740})
    ivy.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1280, "height": 800})


READ_BY_ALL = """() => {
  const said = [], shown = (e) => e.getClientRects().length > 0;
  const name = (e) => (e.getAttribute("aria-label") || e.textContent || e.value || e.title
    || Array.from(e.querySelectorAll("img")).map((i) => i.alt).join("")).trim();
  const all = (which) => Array.from(document.querySelectorAll(which));
  const ids = all("[id]").map((e) => e.id);
  if (all("h1").length !== 1) said.push(all("h1").length + " headings of the first level");
  let level = 1;
  all("h1, h2, h3, h4").filter(shown).forEach((e) => {
    const own = Number(e.tagName[1]);
    if (own > level + 1) said.push("a level is missing before: " + e.innerText);
    level = own;
  });
  ids.filter((id, k) => ids.indexOf(id) !== k).forEach((id) => said.push("id twice: " + id));
  all("[aria-describedby], [aria-labelledby], [aria-controls]").filter(shown).forEach((e) =>
    ["aria-describedby", "aria-labelledby", "aria-controls"].forEach((key) =>
      (e.getAttribute(key) || "").split(" ").filter((id) => id && !ids.includes(id)).forEach(
        (id) => said.push(key + " names nothing: " + id))));
  all("input:not([type=hidden]), select, textarea").filter(shown).forEach((e) => {
    if (!e.labels.length && !e.getAttribute("aria-label")) said.push("no label: " + e.name);
  });
  all("a[href], button, summary").filter(shown).forEach((e) => {
    if (!name(e)) said.push("no name: " + e.outerHTML.slice(0, 80));
  });
  all("img:not([alt]), th:not([scope]):not(.matrix-corner)").forEach((e) =>
    said.push("no alt or scope: " + e.outerHTML.slice(0, 80)));
  return said;
}"""
FOCUSED = """() => {
  const e = document.activeElement, style = getComputedStyle(e);
  if (e === document.body) return null;
  const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return seen ? "" : e.outerHTML.slice(0, 100);
}"""
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  function light(colour) {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = Array.from(canvas.getImageData(0, 0, 1, 1).data).map((v) =>
      v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  const cell = document.body.appendChild(document.createElement("a"));
  const found = Array.from({length: 11}, (_, step) => {
    cell.className = "cell heat-" + step;
    const style = getComputedStyle(cell);
    const [low, high] = [light(style.color), light(style.backgroundColor)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  });
  cell.remove();
  return Math.min(...found);
}"""
FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  function colour(name) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = name;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  }
  const over = (top, below) => below.map((v, k) => top[k] * top[3] + v * (1 - top[3]));
  function ground(e) {
    const own = colour(getComputedStyle(e).backgroundColor);
    return over(own, e.parentElement ? ground(e.parentElement) : [255, 255, 255]);
  }
  function light(parts) {
    const [r, g, b] = parts.map((v) =>
      v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  const written = (e) => Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
  return Array.from(document.querySelectorAll("main *"))
    .filter((e) => written(e) && e.getClientRects().length)
    .filter((e) => {
      const below = ground(e), ink = over(colour(getComputedStyle(e).color), below);
      const [low, high] = [light(ink), light(below)].sort((a, b) => a - b);
      return (high + 0.05) / (low + 0.05) < 4.5;
    }).map((e) => e.className + " in " + e.parentElement.className);
}"""


@pytest.mark.parametrize(
    "path",
    ["/", "/tournaments/", "/tournaments/spring/", "/tournaments/spring/rules/",
     "/tournaments/spring/entries/", "/tournaments/spring/matches/", "/tasks/mnist5k/",
     "/submissions/", "/submissions/new/", "/profile/"],
)  # fmt: skip
def test_a_page_is_read_aloud_worked_by_keyboard_and_made_large(
    site: Site, ivy: Watched, path: str
) -> None:
    page = ivy.page
    ivy.goto(path)
    assert page.evaluate(READ_BY_ALL) == []
    page.evaluate("document.activeElement.blur()")
    for _ in range(100):
        page.keyboard.press("Tab")
        unseen = page.evaluate(FOCUSED)
        if unseen is None:
            break
        assert unseen == "", "nobody sees that it has the focus"
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.set_viewport_size({"width": 1280, "height": 800})


def test_a_refused_form_says_what_is_wrong_where_it_is(site: Site, ivy: Watched) -> None:
    page = ivy.page
    ivy.goto("/profile/")
    page.get_by_label("Name of the team").fill("house")
    page.get_by_role("button", name="Create the team").click()
    field = page.get_by_label("Name of the team")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("choose another name"))
    expect(field).to_be_focused()
    assert page.evaluate(READ_BY_ALL) == []


def test_the_menu_of_a_phone_closes_by_escape(site: Site, browser_page: Watched) -> None:
    page = browser_page.page
    page.set_viewport_size({"width": 360, "height": 740})
    browser_page.goto("/")
    button = page.get_by_role("button", name="Menu", exact=True)
    button.click()
    expect(page.get_by_role("link", name="Glossary")).to_be_visible()
    page.get_by_role("link", name="Glossary").focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Glossary")).to_be_hidden()
    expect(button).to_be_focused()
    page.set_viewport_size({"width": 1280, "height": 800})


def test_figures_on_their_colours_can_be_read_on_screen_and_on_paper(
    site: Site, browser_page: Watched
) -> None:
    page = browser_page.page
    for theme in ("light", "dark"):
        for media in ("screen", "print"):
            page.emulate_media(media=media)
            browser_page.goto("/tournaments/spring/")
            page.evaluate("t => document.documentElement.setAttribute('data-bs-theme', t)", theme)
            assert page.evaluate(CONTRAST) >= 4.5, (theme, media)
            if media == "print":
                ink = "getComputedStyle(document.body).getPropertyValue('--ink').trim()"
                assert page.evaluate(ink) == "#16191f"
    page.emulate_media(media="screen")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_the_api_can_be_read(
    site: Site, browser_page: Watched, scheme: Literal["light", "dark"]
) -> None:
    """As it opens, with operations of every kind unfolded and tried, and where a token goes."""
    page = browser_page.page
    page.emulate_media(color_scheme=scheme)
    browser_page.goto("/api/v1/docs/")
    expect(page.locator(".opblock-get").first).to_be_visible()
    title = page.locator(".info .title").evaluate("e => getComputedStyle(e).color")
    assert (min(map(int, re.findall(r"\d+", title)[:3])) > 127) == (scheme == "dark")
    assert page.evaluate(FAINT) == []
    for kind in ("get", "post"):
        page.locator(f".opblock-{kind} .opblock-summary-control").first.click()
        page.locator(f".opblock-{kind} .try-out__btn").first.click()
        expect(page.locator(f".opblock-{kind} .execute")).to_be_visible()
    assert page.evaluate(FAINT) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".btn.authorize").click()
    expect(page.locator(".modal-ux")).to_be_visible()
    assert page.evaluate(FAINT) == []
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 800})


IVY_ENTERS = """
from pathlib import Path
from submissions import artifacts
from submissions.models import Submission
from tournaments import services
from tournaments.models import Entry, Tournament
row = Submission.objects.get(name="Ivy wall")
path = Path(artifacts.store().path(artifacts.name_of(row.sha256)))
path.parent.mkdir(parents=True, exist_ok=True)
path.touch()
spring = Tournament.objects.get(slug="spring")
services.enter(tournament=spring, submission=row, user=row.team.memberships.get().user)
"""
RENAMED = """
from tournaments.models import Entry
Entry.objects.filter(submission__name="Ivy wall").update(name="Poison ivy")
"""


def test_an_open_form_is_left_alone_by_what_happens_meanwhile(
    site: Site, browser_page: Watched
) -> None:
    """Oscar writes why he disqualifies an entry while the list of entries is fetched anew."""
    site.shell(IVY_ENTERS)
    oscar = browser_page.another()
    oscar.sign_in("oscar")
    page = oscar.page
    oscar.goto("/tournaments/spring/organize/")
    guests = page.locator("[data-live][hx-get$='/organize/entries/']")
    row = guests.locator("li", has_text="Ivy wall")
    row.locator("summary").click()
    row.locator("input[name=reason]").fill("It asks for")
    with page.expect_response("**/organize/entries/"):
        guests.evaluate("e => window.htmx.trigger(e, 'refresh')")
    site.shell(RENAMED)
    with page.expect_response("**/organize/entries/") as answer:
        guests.evaluate("e => window.htmx.trigger(e, 'refresh')")
    assert "Poison ivy" in answer.value.text()
    expect(row.locator("input[name=reason]")).to_have_value("It asks for")
    row.locator("summary").click()
    guests.evaluate("e => window.htmx.trigger(e, 'refresh')")
    expect(guests.get_by_text("Poison ivy")).to_be_visible()
    page.context.close()


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
