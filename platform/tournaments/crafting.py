"""An attack that asks nothing is crafted once, and all its matches judge what it handed in.

What it handed in is kept under ``crafted/<round>/<key>.npz`` for every defense that shows it the
same (:mod:`arena.crafting`), and handed to the referees of those matches, who check it as if the
attack had handed it in just now. It is made by a referee that never meets the defense: no defense
can change what others are judged by. The reaper removes it once its round needs it no more
(:func:`forget_unneeded`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import Q

import arena.house
from arena.games.blind import shared_facts
from arena.games.crafted import FILE
from arena.manifest import Manifest
from submissions import processes
from tournaments.models import Entry, Match, Round
from tournaments.states import PLAYABLE, UNDER_WAY, Phase

POLL_SECONDS: Final = 0.2

logger = logging.getLogger(__name__)

Run = Callable[[Mapping[str, object], Path], processes.Ended]
"""(order, directory) -> how the referee that carried it out ended."""


def kept(
    match: Match,
    orders: Mapping[str, Any],
    scratch: Path,
    *,
    run: Run,
    heartbeat: Callable[[], Any],
) -> Path | None:
    """What its attack has handed in, or hands in now; None where each match plays for itself."""
    path = None if settings.RUNNER else _path(match)
    if path is None or path.exists():
        return path
    with _alone(path.with_suffix(".lock"), heartbeat):
        if not path.exists():
            _craft(path, orders, scratch, run)
    return path if path.exists() else None


def _path(match: Match) -> Path | None:
    """None where its attack may ask something, or sees what this defense alone shows."""
    rules = match.round.rules
    defense = Manifest.from_mapping(match.defense.manifest)
    related = arena.house.related_names(defense.family, rules.task)
    facts = shared_facts(rules, defense, related=related)
    if facts is None:
        return None
    told = json.dumps([_sha256(match.attack, rules.task), *facts])
    key = hashlib.sha256(told.encode()).hexdigest()[:32]
    return _root() / match.round.uid / f"{key}.npz"


def _root() -> Path:
    root: Path = settings.DATA / "crafted"
    return root


def forget_unneeded() -> int:
    """Removes what was crafted for rounds that are gone, or that take no entries and have no match
    under way; how many rounds. One that plays again after all crafts anew.
    """
    there = {directory.name: directory for directory in _root().glob("*")}
    if not there:
        return 0
    plays_on = Q(state__in=PLAYABLE, matches__state__in=UNDER_WAY)
    needed = Round.objects.filter(plays_on | Q(state=Phase.OPEN), uid__in=there)
    unneeded = there.keys() - set(needed.values_list("uid", flat=True))
    for uid in unneeded:
        shutil.rmtree(there[uid], ignore_errors=True)
    return len(unneeded)


def _sha256(attack: Entry, task: str) -> str:
    if attack.submission is not None:
        return attack.submission.sha256
    return arena.house.package(attack.house, task).sha256


def _craft(path: Path, orders: Mapping[str, Any], scratch: Path, run: Run) -> None:
    out = scratch / "crafted"
    out.mkdir()
    file = scratch / "crafting.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({**orders, "out": str(out)}))
    order = {"program": "crafting", "arguments": [str(file)], "trusted": orders["trusted"]}
    ended = run(order, out)
    if ended.status == 0 and (out / FILE).is_file():
        (out / FILE).replace(path)
    elif not ended.lost:
        logger.warning("Nothing was crafted: %s", ended.sentence)


@contextlib.contextmanager
def _alone(lock: Path, heartbeat: Callable[[], Any]) -> Iterator[None]:
    """Wait until no other worker crafts the same; the match stays ours meanwhile."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    due = time.monotonic() + settings.HEARTBEAT_SECONDS
    with lock.open("w") as file:
        while not _locked(file.fileno()):
            time.sleep(POLL_SECONDS)
            if time.monotonic() >= due:
                heartbeat()
                due = time.monotonic() + settings.HEARTBEAT_SECONDS
        yield
        lock.unlink(missing_ok=True)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
