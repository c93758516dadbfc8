"""What hangs on one player and the round alone is done once, for all its matches.

An attack that asks nothing is crafted once, and all its matches judge what it handed in.

What it handed in is kept under ``crafted/<round>/<key>.npz`` for every defense that shows it the
same (:mod:`arena.crafting`), and handed to the referees of those matches, who check it as if the
attack had handed it in just now. It is made by a referee that never meets the defense: no defense
can change what others are judged by. What a defense answers to noise and corruptions of the
round's is kept beside it (:mod:`arena.controls`), asked by a referee that never meets an attack.

The reaper removes both once their round needs them no more (:func:`forget_unneeded`).
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import Q, QuerySet

import arena.house
from arena.errors import PackageError
from arena.games import controls, crafted
from arena.games.blind import shared_facts
from arena.games.control import has_controls
from arena.manifest import Manifest
from submissions import processes
from tournaments.models import Entry, Match, Round
from tournaments.states import PLAYABLE, UNDER_WAY, MatchState, Phase

POLL_SECONDS: Final = 0.2

logger = logging.getLogger(__name__)

Run = Callable[[Mapping[str, object], Path], processes.Ended]
"""(order, directory) -> how the referee that carried it out ended."""


@dataclass(frozen=True)
class Made:
    """What one ``program`` of the referee's makes for many matches, and leaves as ``file``.

    ``side``: attack or defense, whose matches of the round it is for.
    """

    program: str
    file: str
    side: str
    path: Callable[[Match], Path | None]


def kept(
    match: Match,
    orders: Mapping[str, Any],
    scratch: Path,
    *,
    run: Run,
    heartbeat: Callable[[], bool],
) -> dict[str, str]:
    """Paths to what its attack has handed in and its defense answered, or now does, by the key of
    the order. What is not in it, each match plays for itself."""
    made = {}
    for key, what in _MADE.items():
        path = None if settings.RUNNER else _made(what, match, orders, scratch, run, heartbeat)
        if path is not None:
            made[key] = str(path)
    return made


def waiting_for_others(waiting: QuerySet[Match]) -> list[int]:
    """Primary keys of those that would wait, if begun now, for what a running match still makes."""
    if settings.RUNNER:
        return []
    missing, alike = set(), Q()
    for match in _with_players(Match.objects.filter(state=MatchState.RUNNING)):
        for what, path in _needed(match):
            if not path.exists():
                missing.add(path)
                alike |= Q(round=match.round, **{what.side: getattr(match, what.side)})
    if not missing:
        return []
    found = _with_players(waiting.filter(alike))
    return [m.pk for m in found if any(path in missing for _, path in _needed(m))]


def _needed(match: Match) -> list[tuple[Made, Path]]:
    """What is made for it, and where; nothing for a house player that this version has no more:
    such a match fails alone, and no claim with it."""
    try:
        found = [(what, what.path(match)) for what in _MADE.values()]
    except PackageError:
        return []
    return [(what, path) for what, path in found if path is not None]


def _with_players(matches: QuerySet[Match]) -> QuerySet[Match]:
    return matches.select_related("round", "attack__submission", "defense__submission")


def _made(
    what: Made,
    match: Match,
    orders: Mapping[str, Any],
    scratch: Path,
    run: Run,
    heartbeat: Callable[[], bool],
) -> Path | None:
    path = what.path(match)
    if path is None or path.exists():
        return path
    with _alone(path.with_suffix(".lock"), heartbeat):
        if not path.exists():
            _make(what, path, orders, scratch, run)
    return path if path.exists() else None


def _of_attack(match: Match) -> Path | None:
    """None where its attack may ask something, or sees what this defense alone shows."""
    rules = match.round.rules
    defense = Manifest.from_mapping(match.defense.manifest)
    related = arena.house.related_names(defense.family, rules.task)
    facts = shared_facts(rules, defense, related=related)
    if facts is None:
        return None
    return _file(match, [_sha256(match.attack, rules.task), *facts])


def _of_defense(match: Match) -> Path | None:
    """None where nothing is asked that hangs on the defense and the round alone."""
    rules = match.round.rules
    if not has_controls(rules, Manifest.from_mapping(match.defense.manifest)):
        return None
    return _file(match, ["controls", _sha256(match.defense, rules.task)])


_MADE: Final = {
    "crafted": Made("crafting", crafted.FILE, "attack", _of_attack),
    "controls": Made("controls", controls.FILE, "defense", _of_defense),
}


def _file(match: Match, of: list[Any]) -> Path:
    key = hashlib.sha256(json.dumps(of).encode()).hexdigest()[:32]
    return _root() / match.round.uid / f"{key}.npz"


def _root() -> Path:
    root: Path = settings.DATA / "crafted"
    return root


def forget_unneeded() -> int:
    """Removes what is kept for rounds that are gone, or that take no entries and have no match
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


def _sha256(entry: Entry, task: str) -> str:
    if entry.submission is not None:
        return entry.submission.sha256
    return arena.house.package(entry.house, task).sha256


def _make(what: Made, path: Path, orders: Mapping[str, Any], scratch: Path, run: Run) -> None:
    out = scratch / what.program
    out.mkdir()
    file = scratch / f"{what.program}.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({**orders, "out": str(out)}))
    order = {"program": what.program, "arguments": [str(file)], "trusted": orders["trusted"]}
    ended = run(order, out)
    if ended.status == 0 and (out / what.file).is_file():
        (out / what.file).replace(path)
    elif not ended.lost:
        logger.warning("Nothing came of %s: %s", what.program, ended.sentence)


@contextlib.contextmanager
def _alone(lock: Path, heartbeat: Callable[[], bool]) -> Iterator[None]:
    """Wait until no other worker makes the same; the match stays ours meanwhile, also while the
    database is away. That its lease was lost, the referee that comes next finds out."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pulse = processes.Pulse(heartbeat)
    with lock.open("w") as file:
        while not _locked(file.fileno()):
            time.sleep(POLL_SECONDS)
            pulse.alive()
        yield
        lock.unlink(missing_ok=True)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
