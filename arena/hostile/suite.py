"""Plays the cases against one backend, one after the other on one worker."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from arena import tasks
from arena.errors import SandboxUnavailable, Side
from arena.games.base import Step
from arena.hostile import archives, remains
from arena.hostile.canary import Canary
from arena.hostile.cases import SCORED, Case
from arena.hostile.checks import CHECKS, Played, gained
from arena.hostile.opponents import TASK, honest, hostile
from arena.packages import Package
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, Limits, RoundSpec
from arena.sandbox.backend import SandboxBackend, Strength
from arena.threat_model import OracleOutput, OutputKind, ThreatModel
from arena.verdict import Status, Verdict

LIMITS: Final = Limits(
    wall_seconds=30, cpu_seconds=20, load_seconds=60, query_seconds=20,
    memory_mib=256, disk_mib=4, log_kib=16,
)  # fmt: skip
EPSILON: Final = 0.3
EXAMPLES: Final = 20
SEED: Final = 7


@dataclass(frozen=True)
class Finding:
    """What became of one case on one side. ``side`` None: an archive, which is no player yet.

    ``known``: why it is known to get through this backend, else "".
    """

    case: str
    number: int
    name: str
    side: Side | None
    stopped_by: tuple[str, ...]
    expected: str
    ended: str
    problems: tuple[str, ...]
    seconds: float
    known: str = ""

    @property
    def by(self) -> str:
        return self.side.value if self.side else "upload"

    @property
    def stopped(self) -> bool:
        return not self.problems


def play(
    backend: SandboxBackend,
    cases: Iterable[Case],
    *,
    tell: Callable[[Step], None] = lambda step: None,
) -> Iterator[Finding]:
    """Play each case on each of its sides; a finding comes once the next match has been played.

    The last one is followed by an honest match, which must end as the one before them all did.

    Raises:
        SandboxUnavailable: the backend is none for guests: the players would hurt this machine.
    """
    if backend.strength < Strength.NAMESPACES:
        raise SandboxUnavailable(f"{backend.name} is no wall for hostile players.")
    turns = [(case, side) for case in cases if case.is_for_this_machine for side in case.roles]
    if not turns:
        return
    with Canary() as canary:
        worker = _Worker(backend, canary)
        before = worker.honest_match()  # starts whatever the backend keeps
        waiting: Finding | None = None
        for done, (case, side) in enumerate(turns):
            tell(Step("attack", done, len(turns), f"{case.id} as {side.value}"))
            finding, left = worker.play(case, side, before)
            if waiting is not None:
                yield _with(waiting, left)
            waiting = finding
        last = worker.honest_match()
        assert waiting is not None
        yield _with(waiting, [*_left(last), *_changed(before, last)])


@contextmanager
def own_scratch() -> Iterator[Path]:
    """A folder for every temporary file of this process, so that whatever is left in it is ours.

    For a process that does nothing else: what a backend keeps there is gone afterwards.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix=remains.SCRATCH, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # jails of other uids look from here
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before


def read_archives() -> Iterator[Finding]:
    """Hand each hostile archive to the reader of packages."""
    for archive in archives.ARCHIVES:
        started = time.monotonic()
        problems = archive.problems()
        yield Finding(
            case=archive.id,
            number=archives.NUMBER,
            name=archive.name,
            side=None,
            stopped_by=("upload",),
            expected="refused",
            ended="accepted" if problems else "refused",
            problems=tuple(problems),
            seconds=time.monotonic() - started,
        )


def _changed(first: Verdict, last: Verdict) -> Iterator[str]:
    """The same match, played before and after everything else."""
    for verdict in (first, last):
        if verdict.status is not Status.SCORED:
            yield f"an honest match that ended as {_ended(verdict)}"
            return
    assert first.kills is not None
    assert last.kills is not None
    if first.kills.to_json() != last.kills.to_json():
        yield "an honest match with another verdict"


def _with(finding: Finding, left: Iterable[str]) -> Finding:
    more = tuple(f"the next match found {what}" for what in left)
    return replace(finding, problems=(*finding.problems, *more))


@dataclass
class _Worker:
    """One worker that plays match after match."""

    backend: SandboxBackend
    canary: Canary

    def honest_match(self) -> Verdict:
        attack, defense = (honest(side, self.canary.told()) for side in Side)
        return self._match(attack, defense, round_of())

    def play(self, case: Case, side: Side, before: Verdict) -> tuple[Finding, list[str]]:
        """One match with the case on that side, and what it found of the match before it."""
        other = honest(_other(side), self.canary.told())
        player = hostile(case, side, self.canary.told())
        attack, defense = (player, other) if side is Side.ATTACK else (other, player)
        round_ = round_of(case, side)
        there, started, peak = remains.count(), time.monotonic(), remains.peak_mib()
        verdict = self._match(attack, defense, round_)
        seconds = time.monotonic() - started
        played = Played(case, side, round_, verdict, before, remains.peak_mib() - peak)
        own, earlier = _told_apart(_left(verdict), case)
        problems = [
            *_wrong_end(verdict, case, side),
            *_through(verdict, case, side),
            *gained(played),
            *(p for check in case.checks for p in CHECKS[check](played)),
            *(f"another process, of this match or of the last, found {what}" for what in own),
            *remains.settled(there),
            *self.canary.touched(),
        ]
        finding = Finding(
            case=case.id,
            number=case.number,
            name=case.name,
            side=side,
            stopped_by=tuple(case.stopped_by),
            expected=" or ".join(case.ends[side]),
            ended=_ended(verdict),
            problems=tuple(problems),
            seconds=seconds,
            known=case.known.get(self.backend.name, ""),
        )
        return finding, earlier

    def _match(self, attack: Package, defense: Package, round_: RoundSpec) -> Verdict:
        spec = MatchSpec(round_, attack, defense, seed=SEED, secret=self.canary.secret)
        return play_match(spec, backend=self.backend, task=tasks.load(TASK))


def round_of(case: Case | None = None, side: Side | None = None) -> RoundSpec:
    """A small black-box round; ``limits`` of the case are for the side that it cheats on."""
    model = ThreatModel.black(case.queries if case else 4)
    limits = dict.fromkeys(Side, LIMITS)
    if case is not None:
        # An honest attack is told its labels.
        model = replace(model, true_label=case.true_label or side is Side.DEFENSE)
        if case.label_only:
            model = replace(model, output=OracleOutput(OutputKind.LABEL))
        if side is not None:
            limits[side] = _limited(limits[side], case.limits)
        limits[Side.ATTACK] = _limited(limits[Side.ATTACK], case.attack_limits)
        limits[Side.DEFENSE] = _limited(limits[Side.DEFENSE], case.defense_limits)
    return RoundSpec(
        game=GameName.EVASION,
        task=TASK,
        threat_model=model,
        epsilons=(EPSILON,),
        examples=EXAMPLES,
        attack_limits=limits[Side.ATTACK],
        defense_limits=limits[Side.DEFENSE],
        repeats=3,
    )


def _limited(limits: Limits, wanted: Mapping[str, Any]) -> Limits:
    return replace(limits, **wanted)


def _other(side: Side) -> Side:
    return Side.DEFENSE if side is Side.ATTACK else Side.ATTACK


# --- what a verdict says ------------------------------------------------------------------------


def _ended(verdict: Verdict) -> str:
    if verdict.fault is None:
        return verdict.status.value
    code = verdict.fault.code.value if verdict.fault.code else verdict.fault.sentence
    return f"{verdict.fault.side.value if verdict.fault.side else 'arena'}: {code}"


def _wrong_end(verdict: Verdict, case: Case, side: Side) -> Iterator[str]:
    """A match must end as the case says, and a fault must be that of the side that cheats."""
    allowed = case.ends[side]
    if verdict.status is Status.SCORED and SCORED in allowed:
        return
    fault = verdict.fault
    blamed = fault is not None and fault.side is side and fault.code in allowed
    if verdict.status is not Status.FORFEIT or not blamed:
        sentence = f" ({fault.sentence})" if fault else ""
        yield f"ended as {_ended(verdict)}{sentence} instead of {' or '.join(allowed)}"
    if f"also_{_other(side).value}" in " ".join(verdict.flags):
        yield f"the other side was blamed too: {', '.join(verdict.flags)}"


def _through(verdict: Verdict, case: Case, side: Side) -> Iterator[str]:
    lines = verdict.logs.get(side.value, "").splitlines()
    if not any(line.startswith("TRIED") for line in lines):
        yield "the attempt was never made"
    for line in dict.fromkeys(lines):
        if line.startswith("THROUGH: "):
            yield line.removeprefix("THROUGH: ")[:200]


def _left(verdict: Verdict) -> list[str]:
    lines = [line for log in verdict.logs.values() for line in log.splitlines()]
    return [
        line.removeprefix("LEFT: ")[:200]
        for line in dict.fromkeys(lines)
        if line.startswith("LEFT: ")
    ]


def _told_apart(left: list[str], case: Case) -> tuple[list[str], list[str]]:
    """What counts against this case, and what against the one before.

    Only the case that leaves things on purpose may have found its own.
    """
    return (left, []) if case.id == "44-leaves" else ([], left)
