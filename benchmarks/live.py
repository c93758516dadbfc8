"""How soon a verdict and progress are seen: ``python -m benchmarks.live``.

Serves the embedded site on fresh data, follows a tournament as a page does (one event stream; the
boards are fetched when it speaks), and records verdicts through the service that workers call. The
clock starts before the transaction. Times include this reader's own requests.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.timing import Timed

if TYPE_CHECKING:
    from arena.verdict import Verdict as Finding
    from tournaments.models import Match, Tournament

ROOT = Path(__file__).resolve().parents[1]
ATTACKS = ("fgsm", "pgd", "random-noise", "square", "boundary")
DEFENSES = ("cnn", "adversarial-training", "logistic-regression", "randomized-smoothing",
            "input-discretisation")  # fmt: skip
EXAMPLES = 200
PATIENCE = 60.0
"""Seconds after which a verdict that is not seen is an error, not a figure."""


# --- the site -----------------------------------------------------------------------------------


@contextlib.contextmanager
def served(data: Path) -> Iterator[str]:
    """The embedded site's address. Its environment is this process's too."""
    os.environ |= {
        "ADVERSARIUM_DATA": str(data),
        "ADVERSARIUM_WORKERS": "1",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
    }
    manage = [sys.executable, "-W", "ignore", str(ROOT / "manage.py")]
    subprocess.run([*manage, "migrate", "-v0"], check=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (data / "serve.log").open("wb") as log:
        site = subprocess.Popen([*manage, "serve", "--port", str(port)], stdout=log, stderr=log)
    try:
        wait(lambda: answers(url) and (data / "broker" / "url").exists())
        yield url
    finally:
        site.send_signal(signal.SIGINT)
        site.wait(30)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    return False


def wait(done: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > ends:
            raise TimeoutError(f"Nothing within {PATIENCE:.0f} s.")
        time.sleep(0.005)


def hold() -> Tournament:
    """An open tournament whose matches no worker claims, because it is paused."""
    from accounts.models import User
    from arena.rounds import GameName, RoundSpec
    from arena.threat_model import ThreatModel
    from tournaments import services
    from tournaments.services import RoundPlan, TournamentPlan
    from tournaments.states import Phase

    oscar = User.objects.create(username="oscar", email="o@example.org", is_organizer=True)
    spec = RoundSpec(
        GameName.EVASION, "mnist5k", ThreatModel.white(), epsilons=(0.1,), examples=EXAMPLES
    )
    plan = TournamentPlan("Live", "mnist5k", (RoundPlan("White", spec, ATTACKS, DEFENSES),), "live")
    made = services.create(plan, organizer=oscar)
    services.pause(tournament=made, organizer=oscar, paused=True)
    return services.move(tournament=made, to=Phase.OPEN, organizer=oscar)


# --- who watches --------------------------------------------------------------------------------


@dataclass
class Watcher:
    """A page that follows the tournament: what its stream said and its boards showed, and when."""

    url: str
    told: list[tuple[float, str, int]] = field(default_factory=list)
    """(monotonic seconds, event, its cursor)"""
    shown: dict[str, float] = field(default_factory=dict)
    """match -> when its figure stood in the boards that were fetched"""
    ready: threading.Event = field(default_factory=threading.Event)
    _news: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        for work in (self._listen, self._look):
            threading.Thread(target=work, daemon=True).start()

    def _listen(self) -> None:
        address, name = f"{self.url}/live/?tournament=live", ""
        with (
            httpx.Client(timeout=None) as client,
            client.stream("GET", address) as stream,
            contextlib.suppress(httpx.TransportError),
        ):
            for line in stream.iter_lines():
                self.ready.set()
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self.told.append((time.monotonic(), name, int(line.removeprefix("data: "))))
                    self._news.set()

    def _look(self) -> None:
        """As the page does: each word of the stream fetches the boards anew."""
        address = f"{self.url}/parts/tournaments/live/boards/?round=1"
        with httpx.Client(timeout=30) as client, contextlib.suppress(httpx.TransportError):
            while self._news.wait():
                self._news.clear()
                page = client.get(address).text
                now = time.monotonic()
                for match in re.findall(r'class="cell heat-\d+[^"]*" href="/matches/(\w+)/', page):
                    self.shown.setdefault(match, now)


# --- what is measured ---------------------------------------------------------------------------


def measure(url: str, *, verdicts: int, seed: int) -> dict[str, Timed]:
    """Seconds from the call that records (or reports) to what a reader sees."""
    stream = random.Random(seed)
    watcher = Watcher(url)
    watcher.start()
    if not watcher.ready.wait(PATIENCE):
        raise TimeoutError("The stream said nothing.")
    found: dict[str, list[float]] = {name: [] for name in ROWS}
    for match in waiting(verdicts):
        for name, seconds in one(watcher, match, stream).items():
            found[name].append(seconds)
    return {name: Timed(tuple(sorted(seconds))) for name, seconds in found.items()}


ROWS = ("progress to the stream", "verdict to the stream", "verdict to the board")


def waiting(verdicts: int) -> list[Match]:
    from tournaments.models import Match
    from tournaments.states import MatchState

    found = Match.objects.filter(state=MatchState.PENDING).order_by("pk")[:verdicts]
    if len(found) < verdicts:
        raise SystemExit(f"There are {len(found)} matches; ask for no more verdicts.")
    return list(found)


def one(watcher: Watcher, match: Match, stream: random.Random) -> dict[str, float]:
    """The pauses are drawn, so that the loops of site and stream are met at any point."""
    from events import hints
    from events import selectors as outbox
    from tournaments import claims, recording

    assert claims.LEASES.take(match.pk, worker="bench") is not None
    match.refresh_from_db()
    time.sleep(stream.uniform(0, 2))
    began = time.monotonic()
    hints.report_progress(match.uid, {"stage": "attack", "done": 1, "total": 2, "sentence": "."})
    progress = heard(watcher, "progress", since=began) - began
    time.sleep(stream.uniform(0, 2))
    began = time.monotonic()
    assert recording.record_verdict(match, finding(match), files="")
    verdict = heard(watcher, "match", since=began, cursor=outbox.latest()) - began
    wait(lambda: match.uid in watcher.shown)
    times = (progress, verdict, watcher.shown[match.uid] - began)
    return dict(zip(ROWS, times, strict=True))


def heard(watcher: Watcher, kind: str, *, since: float, cursor: int = 0) -> float:
    found: list[float] = []

    def told() -> bool:
        found.extend(
            at for at, name, reached in list(watcher.told)
            if name == kind and at >= since and reached >= cursor
        )  # fmt: skip
        return bool(found)

    wait(told)
    return found[0]


def finding(match: Match) -> Finding:
    """A scored match with bits as large as real ones."""
    from arena.metrics import attack_success_rate, clean_accuracy, robust_accuracy
    from arena.verdict import Kills, Status, Verdict

    stream = np.random.default_rng(match.pk)
    right = stream.random(EXAMPLES) < 0.97
    broken = right & (stream.random(EXAMPLES) < 0.4)
    figures = {
        "epsilon": 0.1, **clean_accuracy(right), **robust_accuracy(right, broken),
        **attack_success_rate(right, broken),
    }  # fmt: skip
    kills = Kills(np.arange(EXAMPLES), right, broken[None, :], (0.1,))
    return Verdict(Status.SCORED, metrics=figures, curve=(figures,), kills=kills)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--verdicts", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="of the pauses between them")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="adversarium-live-") as data, served(Path(data)) as url:
        sys.path.insert(0, str(ROOT / "platform"))
        import django

        django.setup()
        logging.getLogger("httpx").setLevel(logging.WARNING)
        hold()
        times = measure(url, verdicts=options.verdicts, seed=options.seed)
    load = os.getloadavg()[0]
    title = f"{options.verdicts} verdicts, {os.cpu_count()} cores, load {load:.1f} (s)"
    table = Table(title=title)
    for column in ("from record to sight", "least", "median", "p95", "most"):
        table.add_column(column, justify="left" if column.startswith("from") else "right")
    for name, found in times.items():
        cells = (found.least, found.median, found.p95, found.seconds[-1])
        table.add_row(name, *(f"{seconds:.2f}" for seconds in cells))
    console.print(table)


if __name__ == "__main__":
    main()
