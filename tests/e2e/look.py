"""Pictures of every page, to be looked at: ``python -m tests.e2e.look DIRECTORY [PAGE ...]``.

At 360, 768 and 1440 pixels, light and dark; says which pages scroll sideways.
``python -m tests.e2e.look --board DATA SLUG FILE.png`` takes the README's picture, of a tournament
that an installation with the data directory DATA has played.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import chromium_path
from tests.e2e.server import Site

WIDTHS = (360, 768, 1440)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--disable-background-networking"]  # fmt: skip
FACTS = """
from tests.platform.web.seeding import seed, judge
from tournaments.models import Match, Entry
world = seed()
guest = world.entries["Bulwark v3"]
def uid(number, **rule):
    return Match.objects.filter(round__number=number, verdict__isnull=False, **rule).first().uid
forfeit = Match.objects.filter(state="pending").first()
judge(forfeit, fault="attack")
print("FACTS", uid(1, attack__house="pgd"), uid(3, attack__house="square"), uid(4), forfeit.uid,
      guest.submission.uid, world.defenders.uid)
"""


def pages(facts: list[str]) -> dict[str, tuple[str, str]]:
    """Name -> (address, who looks)."""
    white, black, poison, forfeit, submission, team = facts
    return {
        "home": ("/", ""),
        "tournaments": ("/tournaments/", ""),
        "board": ("/tournaments/spring/", "dana"),
        "board-poisoning": ("/tournaments/spring/?round=4", ""),
        "rules": ("/tournaments/spring/rules/", ""),
        "entries": ("/tournaments/spring/entries/", "charlie"),
        "matches": ("/tournaments/spring/matches/", ""),
        "organize": ("/tournaments/spring/organize/", "oscar"),
        "create": ("/tournaments/new/", "oscar"),
        "match": (f"/matches/{white}/", "oscar"),
        "match-black": (f"/matches/{black}/", "oscar"),
        "match-poisoning": (f"/matches/{poison}/", "oscar"),
        "match-forfeit": (f"/matches/{forfeit}/", ""),
        "tasks": ("/tasks/", ""),
        "calibration": ("/calibration/", ""),
        "task": ("/tasks/mnist5k/", ""),
        "submissions": ("/submissions/", "dana"),
        "submissions-empty": ("/submissions/", "charlie"),
        "submission": (f"/submissions/{submission}/", "dana"),
        "upload": ("/submissions/new/", "dana"),
        "profile": ("/profile/", "dana"),
        "team": (f"/teams/{team}/", "dana"),
        "signup": ("/signup/", ""),
        "login": ("/login/", ""),
        "glossary": ("/glossary/", ""),
        "missing": ("/nothing-here/", ""),
    }


def logged_in(browser: Browser, site: Site, name: str, scheme: str) -> Page:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    page.on("console", lambda message: print("  console:", message.type, message.text[:300]))
    page.on("pageerror", lambda error: print("  error:", str(error)[:300]))
    if name:
        page.goto(f"{site.url}/login/")
        page.fill("[name=username]", name)
        page.fill("[name=password]", "correct horse battery")
        page.click("main button[type=submit]")
        page.wait_for_load_state()
    return page


def look(site: Site, out: Path, wanted: list[str], facts: list[str]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        for scheme in ("light", "dark"):
            people: dict[str, Page] = {}
            for name, (address, who) in pages(facts).items():
                if wanted and name not in wanted:
                    continue
                if who not in people:
                    people[who] = logged_in(browser, site, who, scheme)
                take(people[who], f"{site.url}{address}", name, scheme, out)
        browser.close()


def take(page: Page, address: str, name: str, scheme: str, out: Path) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(address)
        page.wait_for_timeout(250)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            print(f"{name} scrolls sideways at {width}: {wide}")
        page.screenshot(path=out / f"{name}-{width}-{scheme}.png", full_page=True)


def picture_board(data: Path, slug: str, out: Path) -> None:
    site = Site(data)
    site.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{site.url}/tournaments/{slug}/")
            page.wait_for_timeout(1500)
            page.screenshot(path=out, full_page=True)
            browser.close()
    finally:
        site.stop()


def main() -> None:
    if sys.argv[1] == "--board":
        picture_board(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
        return
    out, wanted = Path(sys.argv[1]), sys.argv[2:]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="adversarium-look-") as data:
        site = Site(Path(data))
        facts = site.shell(FACTS).split("FACTS")[1].split()
        site.start()
        try:
            look(site, out, wanted, facts)
        finally:
            site.stop()
            print(site.log.read_text()[-2000:])


if __name__ == "__main__":
    main()
