"""The files of matches, and the only way to them for readers.

An attempt writes under ``matches/<uid>/<attempt>``; its verdict's row adopts the directory.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings

from accounts.selectors import Person
from arena.errors import Side
from events.errors import NotThere
from events.texts import printable
from submissions.selectors import LOG_BYTES
from tournaments import visibility
from tournaments.models import Match, Verdict

OUTCOME: Final = "outcome.parquet"
IMAGES: Final = "images.npz"
VERDICT: Final = "verdict.json"


def attempt_directory(match: Match) -> str:
    """Relative to the data directory; a name of its own for every attempt."""
    return f"matches/{match.uid}/{match.attempt}"


def outcome_path(user: Person, match: Match) -> Path:
    """The Parquet file with one row per example.

    Raises:
        NotThere: there is none, or none for this reader.
    """
    if not visibility.may_see_outcome(user, match):
        raise NotThere("There is no such file for you.")
    return _file(match, OUTCOME)


def images_path(user: Person, match: Match) -> Path:
    """``images.npz``: arrays ``clean`` (n, *shape), ``attacked`` (epsilons, n, *shape)."""
    if not visibility.may_see_images(user, match):
        raise NotThere("There is no such file for you.")
    return _file(match, IMAGES)


def log_text(user: Person, match: Match, side: Side) -> str:
    """What a side printed in the match, without control characters."""
    if not visibility.may_see_match_log(user, match, side):
        if visibility.waits_for_match_log(user, match, side):
            raise NotThere("What your player printed is shown once this round is published.")
        raise NotThere("There is no such log for you.")
    return printable(str(_verdict(match).logs.get(side.value, ""))[:LOG_BYTES])


def _verdict(match: Match) -> Verdict:
    verdict = getattr(match, "verdict", None)
    if verdict is None:
        raise NotThere("This match has no verdict yet.")
    assert isinstance(verdict, Verdict)
    return verdict


def _file(match: Match, name: str) -> Path:
    path: Path = settings.DATA / _verdict(match).files / name
    if not path.is_file():
        raise NotThere("This match has no such file.")
    return path


@contextlib.contextmanager
def scratch(match: Match) -> Iterator[Path]:
    """A directory for an attempt's orders, which hold the round's secret; it ends with it."""
    directory = _scratch_of(match)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield directory
    finally:
        forget_scratch(match)


def forget_scratch(match: Match) -> None:
    """Also for whoever finds that the attempt's worker was killed."""
    shutil.rmtree(_scratch_of(match), ignore_errors=True)


def _scratch_of(match: Match) -> Path:
    directory: Path = settings.DATA / "scratch" / f"{match.uid}.{match.attempt}"
    return directory


def forget_attempts(match: Match, *, but: int | None) -> None:
    """Removes what attempts without a verdict have left."""
    root: Path = settings.DATA / "matches" / match.uid
    for attempt in root.glob("*"):
        if attempt.name != str(but):
            shutil.rmtree(attempt, ignore_errors=True)
