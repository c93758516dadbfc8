"""A browser before a served site whose referee is a stand-in: what is tested is the way there."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.conftest import chromium_path
from tests.e2e.server import ROOT, Site

RUNNER = ROOT / "tests" / "platform" / "tournaments" / "fake_runner.py"
QUALIFIER = """
    import json, pathlib, sys
    out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
    print(json.dumps({"stage": "load", "done": 1, "total": 2, "sentence": "It loads."}), flush=True)
    figures = {"clean_accuracy": 0.97, "floor": 0.9}
    (out / "log.txt").write_text("loaded in 0.1 s")
    finding = {"accepted": True, "sentence": "Clean accuracy 97 %.", "figures": figures}
    (out / "qualification.json").write_text(json.dumps(finding))
"""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--disable-background-networking", "--disable-component-update",
             "--no-first-run"]  # fmt: skip
SEED = """
from accounts import services as accounts
from accounts.models import User
from tests.platform.web.seeding import PASSWORD, plan
from tournaments import services
from tournaments.states import Phase
oscar = accounts.sign_up(username="oscar", email="oscar@example.org", password=PASSWORD)
User.objects.update(is_organizer=True)
oscar.refresh_from_db()
services.move(tournament=services.create(plan(), organizer=oscar), to=Phase.OPEN, organizer=oscar)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    own = tmp_path_factory.mktemp("e2e")
    (own / "began").mkdir()
    (own / "seconds").write_text("0.2")
    qualifier = own / "qualifier.py"
    qualifier.write_text(textwrap.dedent(QUALIFIER))
    served = Site(
        own / "data",
        ADVERSARIUM_RUNNER=f"{{python}},{RUNNER},{own}",
        ADVERSARIUM_QUALIFIER=f"{{python}},{qualifier}",
        ADVERSARIUM_TRUSTED_ONLY="false",
        ADVERSARIUM_WORKERS="2",
        ARENA_SANDBOX_PASSED="nobody asks the stand-in",
    )
    served.shell(SEED)
    served.serve()
    yield served
    served.stop()


class Watched:
    """A page, and everything its console complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.set_default_timeout(60_000)

    def _console(self, message: Any) -> None:
        # A refused upload answers 422 on purpose; the browser notes every such answer.
        if message.type in ("error", "warning") and "status of 422" not in message.text:
            self.complaints.append(message.text)

    def goto(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")


@pytest.fixture(scope="module")
def browser_page(site: Site) -> Iterator[Watched]:
    """Launched by hand: pytest-playwright's own loop would stand in the way of Django's tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield Watched(browser.new_page(), site.url)
        browser.close()
