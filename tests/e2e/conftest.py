"""A browser before a served site whose referee is a stand-in: what is tested is the way there."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.conftest import chromium_path
from tests.e2e.server import ROOT, Site
from tests.platform.web.seeding import PASSWORD

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
from arena.manifest import Framework, Role
from tests.platform.web.seeding import PASSWORD, member, plan, submitted
from tournaments import services
from tournaments.states import Phase
oscar = accounts.sign_up(username="oscar", email="oscar@example.org", password=PASSWORD)
User.objects.update(is_organizer=True)
oscar.refresh_from_db()
services.move(tournament=services.create(plan(), organizer=oscar), to=Phase.OPEN, organizer=oscar)
ivy = member("ivy")
team = accounts.create_team(user=ivy, name="Ivy League")
submitted(team, ivy, "Ivy wall", Role.DEFENSE, framework=Framework.TORCH, differentiable=True)
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

    def another(self) -> Watched:
        """A page of the same browser that shares nothing with this one."""
        browser = self.page.context.browser
        assert browser is not None
        return Watched(browser.new_page(), self.url)

    def sign_in(self, name: str) -> None:
        self.goto("/login/")
        self.page.fill("[name=username]", name)
        self.page.fill("[name=password]", PASSWORD)
        self.page.click("main button[type=submit]")
        self.page.wait_for_url(re.compile(r"/(profile/)?$"))


@pytest.fixture(scope="module")
def browser_page(site: Site) -> Iterator[Watched]:
    """Launched by hand: pytest-playwright's own loop would stand in the way of Django's tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield Watched(browser.new_page(), site.url)
        browser.close()


@pytest.fixture(scope="module")
def ivy(browser_page: Watched) -> Iterator[Watched]:
    """A page where a member of a team with one upload is signed in."""
    page = browser_page.another()
    page.sign_in("ivy")
    yield page
    page.page.context.close()
