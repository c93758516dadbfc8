"""Extraction (model theft): q answers of the oracle, then a copy, judged against the original.

The thief is asked for his copy at each stop: q = 2^j probes in all, and at the end of the budget.
A copy comes back as the files of a package, read under the caps of any upload, and answers in a
jail of its own; the original answers unfiltered in a fresh process. Headline: fidelity, the share
of the judged examples on which copy and original agree. Tramer et al. 2016 (arXiv:1609.02943).

Two things are kept from the defense. It cannot lie to the thief alone, nor to the judge alone: when
he is done, the very process that he asked answers the judged examples, and its accuracy there,
through the same filter, is what meets the clean floor; a fresh one must answer the same. And it
cannot win by answering nonsense far from the data, which costs a copy nothing: there, on secret
uniform points, agreement is told beside the best constant's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.answers import NO_ANSWER, clear_labels
from arena.errors import FaultCode, PackageError, PlayerError, Side
from arena.games.base import Examples, GameResult, Table, failed, fault_of
from arena.games.draws import row_seeds
from arena.games.heard import MOST, Doubt, compared, differing
from arena.games.judgement import Ballots, Inputs, Judge
from arena.games.opening import guarded
from arena.games.reveal import brief, revealed, training_data
from arena.manifest import Role
from arena.oracle import Heard, Oracle, Sample, labels_shown
from arena.packages import Package
from arena.players import Images
from arena.seats import Array, AttackSeat, DefenseSeat
from arena.threat_model import Probes
from arena.verdict import Kills, Outcome

OUTCOME_KIND: Final = "extraction/1"
STOPS: Final = 8
"""At most so many copies are asked for: at the largest powers of two, and at the end."""
UNIFORM_POINTS: Final = 10_000
UNIFORM_REPEATS: Final = 3
"""A stochastic original is asked so often about each uniform point."""
NEARLY_ALL: Final = 0.99
DEFENSE_TIME_FOR_THIEF: Final = 0.8
FAR: Final = 2**40
"""Uniform points are numbered from here on, beyond any example of a split."""

Labels = NDArray[np.int64]


def stops_of(queries: int) -> tuple[int, ...]:
    """The probes after which a copy is asked for, ascending; the last is ``queries``."""
    powers = [2**j for j in range(1, queries.bit_length()) if 2**j < queries]
    return (*powers[-(STOPS - 1) :], queries)


class Extraction:
    """One thief against one defense, over all stops of the round."""

    def play(self, table: Table) -> GameResult:
        stage = _Stage(table)
        stage.steal()
        original = stage.original()
        return stage.result(original, [stage.copied(copy) for copy in stage.copies])


@dataclass(frozen=True, eq=False)
class _Original:
    """(n,) labels of the original on examples, and (10,000,) on uniform points; majorities."""

    labels: Labels
    far: Labels


@dataclass(frozen=True, eq=False)
class _Copied:
    """What a copy answers on the examples, and, the last one, on uniform points."""

    labels: Labels
    far: Labels
    sha256: str = ""
    failed: bool = False


@dataclass(eq=False)
class _Stage:
    """One match, as it goes."""

    table: Table
    faults: list[PlayerError] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"attack": 0.0, "defense": 0.0})
    logs: dict[str, str] = field(default_factory=lambda: {"attack": "", "defense": ""})
    copies: list[Package | None] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    """Asked by the end of each stop, earlier ones counted."""
    seen: Ballots | None = None
    """What the process that he asked says of the judged examples, with their first judging seeds;
    ``oracle_right``: whether that is the true label, as the round shows it."""
    oracle_right: NDArray[np.bool_] | None = None
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        limit = self.table.round.threat_model.probes.limit(1)
        self.stops = stops_of(int(limit))
        self.uniform = self._uniform_points()
        self.sample = Sample(self.table.match_stream("heard"))
        self.judged: dict[str, _Copied] = {}
        """By the copy's hash: one handed in twice is judged once."""

    @property
    def distrusted(self) -> bool:
        """Whether the defense failed, so that nothing it said can be held against it, or for it."""
        return failed(Side.DEFENSE, self.faults)

    # ── the theft ──────────────────────────────────────────────────────────────────────────

    def steal(self) -> None:
        """A copy for each stop. Where he fails, the last one that he handed in stands."""
        asked = guarded(lambda: self.table.seats.open_defense(in_turn=True))()
        try:
            if isinstance(asked, PlayerError):
                self.faults.append(asked)
                return
            self._play(asked)
            if not self.distrusted:
                self._look_as_the_thief(asked)
        except PlayerError as error:
            self.faults.append(error)
        finally:
            if not isinstance(asked, PlayerError):
                self._close(asked, "defense")
            self.copies += [self.copies[-1] if self.copies else None] * self._missing
            self.queries += [self.queries[-1] if self.queries else 0] * (
                len(self.stops) - len(self.queries)
            )

    @property
    def _missing(self) -> int:
        return len(self.stops) - len(self.copies)

    def _play(self, asked: DefenseSeat) -> None:
        shown = revealed(self.table, np.arange(0))
        seat = guarded(lambda: self.table.seats.open_attack(shown))()
        if isinstance(seat, PlayerError):
            self.faults.append(seat)
            return
        oracle = self._oracle(asked)
        try:
            for j, stop in enumerate(self.stops):
                self.table.report(
                    "steal", j, len(self.stops), f"The thief makes a copy of {stop:,} answers."
                )
                self._copy_at(stop, j, seat, oracle)
        except PlayerError as error:
            self.faults.append(error)
        finally:
            self._close(seat, "attack")

    def _copy_at(self, stop: int, j: int, seat: AttackSeat, oracle: Oracle) -> None:
        oracle.meter.grant(Probes(total=stop))
        try:
            handed = seat.steal(self._brief(stop, j), self._arrays(), oracle)
        finally:
            self.queries.append(int(oracle.meter.spent.sum()))
        self.copies.append(self._admitted(handed))

    def _brief(self, stop: int, j: int) -> Mapping[str, Any]:
        return {
            **brief(self.table, epsilon=None, seed=self.table.match_seed("attack", j)),
            "queries": stop,
            "queries_in_all": self.stops[-1],
        }

    def _arrays(self) -> dict[str, Array]:
        data = training_data(self.table)
        return {} if data is None else {"training_x": data[0], "training_y": data[1]}

    def _oracle(self, asked: DefenseSeat) -> Oracle:
        table, limits = self.table, self.table.round.defense_limits

        def seeds(examples: Array, before: int) -> NDArray[np.uint64]:
            return row_seeds(table.match_secret, "probe", range(before, before + len(examples)), 0)

        return Oracle(
            asked,
            threat_model=table.round.threat_model,
            shape=table.task.shape,
            classes=len(table.task.classes),
            examples=1,
            seeds=seeds,
            seconds=DEFENSE_TIME_FOR_THIEF * min(limits.wall_seconds, limits.cpu_seconds),
            sample=self.sample,
        )

    def _admitted(self, handed: bytes) -> Package:
        """The copy as a package that can be judged; the thief's fault where it is none."""
        try:
            package = Package.read(handed)
        except PackageError as error:
            self.logs["attack"] += f"{error}\n"
            raise _bad("The copy is no package; the thief's log says why.") from error
        manifest = package.manifest
        if manifest.role is not Role.DEFENSE:
            raise _bad('The manifest of a copy says role = "defense".')
        if manifest.stochastic or manifest.abstains:
            raise _bad("A copy answers every input, and draws nothing at random.")
        if not manifest.plays_task(self.table.task.name):
            raise _bad("The manifest of the copy names other tasks; leave tasks out.")
        return package

    def _look_as_the_thief(self, asked: DefenseSeat) -> None:
        """Ask the process that he asked about the judged examples."""
        table, examples = self.table, self.table.examples
        order = table.match_stream("oracle").permutation(len(examples))
        inputs = Inputs(examples.x, np.arange(len(examples))).take(order)
        judge = Judge(table, purpose="oracle", open_defense=table.seats.open_defense)
        scores = asked.predict(inputs.x, judge.seeds(inputs)[:, 0])
        answers = table.read(scores, rows=len(examples))
        output, classes = table.round.threat_model.output, len(table.task.classes)
        shown = labels_shown(answers, scores, output, classes=classes)
        clear = clear_labels(answers, scores)
        back = np.argsort(order)
        right = (shown == examples.y[order]) & (clear != NO_ANSWER)
        self.oracle_right = np.asarray(right[back])
        self.seen = Ballots(clear[back, None], answers.confidence[back, None])

    # ── original and copies are judged ─────────────────────────────────────────────────────

    def _uniform_points(self) -> Images:
        """The same for every match of the round; never out of the referee's hands before."""
        task = self.table.task
        x = self.table.round_stream("uniform").uniform(size=(UNIFORM_POINTS, *task.shape))
        if task.grid is not None:
            x = np.round(x * (task.grid - 1)) / (task.grid - 1)
        return x.astype(np.float32)

    def original(self) -> _Original:
        """What the original says, unfiltered, in fresh processes that met no thief.

        Some of what it told the thief is asked again among the examples: it must be the same.
        """
        self.table.report("judge", 0, 2, "The original answers, in fresh processes.")
        heard = self.sample.heard()[:MOST]
        near = self._majority(
            self.table.examples, "examples", self.table.round.repeats, heard, self.seen
        )
        index = FAR + np.arange(len(self.uniform))
        points = Examples(index, self.uniform, np.zeros(len(index), np.int64))
        far = self._majority(points, "uniform", UNIFORM_REPEATS)
        return _Original(near, far)

    def _majority(
        self,
        examples: Examples,
        purpose: str,
        repeats: int,
        heard: Sequence[Heard] = (),
        seen: Ballots | None = None,
    ) -> Labels:
        """``seen``: what the process that the thief asked said of the examples."""
        n, seats = len(examples), self.table.seats
        if self.distrusted:
            return np.full(n, NO_ANSWER, np.int64)
        judge = Judge(
            replace(self.table, examples=examples),
            purpose=purpose,
            open_defense=seats.open_defense,
            repeats=min(self.table.round.repeats, repeats),
        )
        told = [each.x for each in heard]
        inputs = Inputs(
            np.concatenate([*(x[None] for x in told), examples.x]),
            np.concatenate([np.zeros(len(told), np.int64), np.arange(n)]),
        )
        session, doubt = compared(judge, inputs, heard, guarded(seats.open_defense)())
        self.seconds["defense"] += session.seconds
        self.logs["defense"] += session.log
        self.faults += session.faults
        ballots = session.ballots.take(np.arange(len(told), len(inputs)))
        apart = Doubt() if seen is None else differing(seen, ballots)
        distrusted = session.distrusted or doubt.distrusted or apart.distrusted
        if distrusted is not None:
            self.faults.append(distrusted)
            return np.full(n, NO_ANSWER, np.int64)
        return majority(ballots)

    def copied(self, copy: Package | None) -> _Copied:
        """The copy's answers; those of the last one on uniform points too."""
        n = len(self.table.examples)
        if copy is None:
            nothing = np.full(len(self.uniform), NO_ANSWER, np.int64)
            return _Copied(np.full(n, NO_ANSWER, np.int64), nothing)
        if copy.sha256 not in self.judged:
            final = self.copies[-1]
            last = final is not None and final.sha256 == copy.sha256
            self.judged[copy.sha256] = self._answered(copy, last=last)
        return self.judged[copy.sha256]

    def _answered(self, copy: Package, *, last: bool) -> _Copied:
        """In a jail of its own, in random order. What it cannot answer agrees with nothing."""
        near, far = self.table.examples.x, self.uniform[: len(self.uniform) if last else 0]
        labels = np.full(len(near) + len(far), NO_ANSWER, np.int64)
        order = self.table.match_stream("copy", copy.sha256).permutation(len(labels))
        x = np.concatenate([near, far])[order]
        self.table.report("judge", 1, 2, "A copy answers, in a jail of its own.")
        try:
            with self.table.open_house(copy) as seat:
                scores = seat.predict(x, np.zeros(len(x), np.uint64))
            labels[order] = self.table.read(scores, rows=len(x), package=copy).labels
        except PlayerError as error:
            if not any(copy.failed for copy in self.judged.values()):
                self.logs["attack"] += f"The copy: {error}\n{error.log}"
            self.faults.append(_bad("The copy failed when it was judged.", error.code))
            return _Copied(labels[: len(near)], labels[len(near) :], copy.sha256, failed=True)
        return _Copied(labels[: len(near)], labels[len(near) :], copy.sha256)

    def _close(self, seat: DefenseSeat | AttackSeat, side: str) -> None:
        self.seconds[side] += seat.seconds
        self.logs[side] += seat.close()

    # ── the result ─────────────────────────────────────────────────────────────────────────

    def result(self, original: _Original, copies: Sequence[_Copied]) -> GameResult:
        table, y = self.table, self.table.examples.y
        answered = original.labels >= 0
        agrees = np.stack([copy.labels == original.labels for copy in copies]) & answered
        curve = tuple(
            {
                "queries": float(stop),
                **metrics.share("fidelity", agrees[j][answered]),
                **metrics.share("surrogate_accuracy", copies[j].labels == y),
            }
            for j, stop in enumerate(self.stops)
        )
        far = self._far(original, copies[-1])
        return GameResult(
            metrics={**self._headline(original, curve), **far},
            curve=curve,
            kills=Kills(
                examples=table.examples.index,
                clean_right=answered,
                broken=agrees,
                epsilons=tuple(float(stop) for stop in self.stops),
            ),
            outcome=self._outcome(original, copies, agrees),
            faults=tuple(fault_of(error) for error in self.faults),
            seconds=self.seconds,
            logs=self.logs,
            details={
                "stops": list(self.stops),
                "asked": self.queries,
                "surrogate_sha256": [copy.sha256 for copy in copies],
            },
        )

    def _headline(
        self, original: _Original, curve: Sequence[Mapping[str, float | None]]
    ) -> dict[str, float | None]:
        last = {key: value for key, value in curve[-1].items() if key != "queries"}
        reached = [s for s, point in zip(self.stops, curve, strict=True) if _nearly_all(point)]
        right = np.zeros(0, bool) if self.oracle_right is None else self.oracle_right
        return {
            **last,
            **metrics.clean_accuracy(original.labels == self.table.examples.y),
            **metrics.share("oracle_accuracy", right),
            "queries": float(self.queries[-1]),
            "queries_to_99": float(reached[0]) if reached else None,
            "fidelity_area": metrics.log_area(self.stops, [p["fidelity"] for p in curve]),
        }

    def _far(self, original: _Original, last: _Copied) -> dict[str, float | None]:
        """On uniform points that the original answered."""
        answered = original.far >= 0
        theirs, copied = original.far[answered], last.far[answered]
        return {
            **metrics.share("uniform_fidelity", copied == theirs),
            "uniform_constant": metrics.best_constant(theirs),
            "uniform_kappa": metrics.cohens_kappa(theirs, copied),
        }

    def _outcome(
        self, original: _Original, copies: Sequence[_Copied], agrees: NDArray[np.bool_]
    ) -> Outcome:
        """One row per stop and example."""
        table, n, levels = self.table, len(self.table.examples), len(copies)

        def tiled(values: NDArray[Any]) -> NDArray[Any]:
            return np.tile(values, levels)

        copied = np.concatenate([copy.labels for copy in copies])
        columns = {
            "match": np.full(levels * n, table.match_name),
            "stop": np.repeat(np.array(self.stops, np.int64), n),
            "asked": np.repeat(np.array(self.queries, np.int64), n),
            "example": tiled(table.examples.index),
            "y": tiled(table.examples.y),
            "prediction": tiled(original.labels),
            "copied_prediction": copied,
            "agrees": agrees.ravel(),
            "seed": np.full(levels * n, table.seed, np.int64),
            "surrogate_sha256": np.repeat(np.array([copy.sha256 for copy in copies]), n),
            "attack_sha256": np.full(levels * n, table.attack.sha256),
            "defense_sha256": np.full(levels * n, table.defense.sha256),
        }
        return Outcome(OUTCOME_KIND, columns)


def majority(ballots: Ballots) -> Labels:
    """(m,) the label that most of the k answers give; the lowest of equals. One label per row."""
    labels = ballots.labels
    if labels.shape[1] == 1:
        return labels[:, 0]
    kinds = np.unique(labels)
    votes = np.stack([(labels == kind).sum(axis=1) for kind in kinds], axis=1)
    return np.asarray(kinds[votes.argmax(axis=1)], np.int64)


def _nearly_all(point: Mapping[str, float | None]) -> bool:
    fidelity = point["fidelity"]
    return fidelity is not None and fidelity >= NEARLY_ALL


def _bad(message: str, code: FaultCode = FaultCode.BAD_SURROGATE) -> PlayerError:
    return PlayerError(Side.ATTACK, code, message)
