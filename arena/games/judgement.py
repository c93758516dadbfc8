"""The final judgement: fresh defense processes, none of which sees an example and its twin.

One process gets the clean x of a random half of the examples and the candidates x' of the other
half, the second one the converse, all in random order: a defense cannot pair them. Where an example
has several candidates (of several epsilons, or targets), there are as many processes more, since a
defense could pair those as well: the inputs that have near twins are the attacked ones, and the
nearest to the clean example is the easiest. An identical input is judged once. A stochastic defense
is asked k times with seeds that all attacks share.

Rows must not depend on one another. Some requests of the schedule ask rows again, alone, in other
company, or the same batch as it was; the answers must agree (:class:`arena.answers.Answer`). A
label that leads by a hair could be another one in other company: it counts as none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import zip_longest
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.answers import NO_ANSWER, Answer, clear_labels, each
from arena.errors import FaultCode, PlayerError, Side
from arena.games.base import Table
from arena.games.draws import row_seeds
from arena.players import Images
from arena.seats import DefenseSeat

BATCH: Final = 256
SAMPLED: Final = 12
"""Rows asked again in each process."""
TOLERATED: Final = 1
"""Sampled rows that may differ: one vote of a smoothed defense may flip by rounding alone."""
PROGRESS_SECONDS: Final = 0.5
RESTARTS: Final = 3
"""Fresh processes after a failure, so that one bad input does not cost all that follow it."""
CHANGED_OUTPUT: Final = "changed_output_for_same_seed"
AT_A_TIME: Final = 2
"""Judging processes that live side by side."""

Opener = Callable[[], DefenseSeat]
Draw = Callable[..., np.random.RandomState]
"""(purpose, ...) -> a stream of its own."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is asked: ``x`` (m, *shape), and the ``example`` (m,) that each row belongs to."""

    x: Images
    example: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.example)

    def take(self, rows: NDArray[np.int64]) -> Inputs:
        return Inputs(self.x[rows], self.example[rows])


@dataclass(frozen=True, eq=False)
class Ballots:
    """(m, k) ``labels`` and ``confidence`` (NaN: no answer) of m inputs judged k times."""

    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]

    @classmethod
    def empty(cls, rows: int, repeats: int) -> Ballots:
        return cls(np.full((rows, repeats), NO_ANSWER, np.int64), np.full((rows, repeats), np.nan))

    @classmethod
    def joined(cls, parts: Sequence[Ballots]) -> Ballots:
        """One below the other."""
        labels = np.concatenate([part.labels for part in parts])
        return cls(labels, np.concatenate([part.confidence for part in parts]))

    def __len__(self) -> int:
        return len(self.labels)

    def split(self, repeats: int) -> tuple[Ballots, Ballots]:
        """The first so many repetitions, and the others."""
        parts = slice(repeats), slice(repeats, None)
        one, other = (Ballots(self.labels[:, p], self.confidence[:, p]) for p in parts)
        return one, other

    def take(self, rows: NDArray[np.int64]) -> Ballots:
        return Ballots(self.labels[rows], self.confidence[rows])


class Ask(Enum):
    """Why a request is made: its answer counts, or is compared with the one that counts."""

    COUNTS = auto()
    AGAIN = auto()
    COMPARE = auto()


Request = tuple[Ask, NDArray[np.int64]]
Answered = dict[int, list[tuple[Ask, Answer]]]
"""Every answer to the pairs (input, repetition) that are asked more than once."""


@dataclass
class Session:
    """What came of one process's share of the judgement."""

    ballots: Ballots
    faults: list[PlayerError] = field(default_factory=list)
    differing: int = 0
    unsteady: int = 0
    seconds: float = 0.0
    log: str = ""
    told: Answered = field(default_factory=dict)
    misled: PlayerError | None = None
    """The fault of a defense that said something else before, where that was looked at."""

    def counted(self, pair: int) -> Answer | None:
        """The answer that counted of a pair that was watched; None without one."""
        return next((answer for kind, answer in self.told[pair] if kind is Ask.COUNTS), None)

    @property
    def distrusted(self) -> PlayerError | None:
        """The fault of a defense whose answers hang on more than input and seed."""
        if self.unsteady > TOLERATED:
            return _fault(
                FaultCode.NOT_DETERMINISTIC,
                "The same inputs with the same seeds, asked twice, got different answers.",
            )
        if self.differing > TOLERATED:
            return _fault(
                FaultCode.ROWS_DEPEND,
                f"{self.differing} sampled rows were answered differently alone or in other "
                "company; rows must not depend on one another.",
            )
        return self.misled

    @property
    def blamed(self) -> list[PlayerError]:
        """Every fault; that for which no answer counts comes first."""
        return self.faults if self.distrusted is None else [self.distrusted, *self.faults]


@dataclass(frozen=True, eq=False)
class Judgement:
    """``clean`` of n examples, ``attacked`` of (levels, cases), each k times."""

    clean: Ballots
    attacked: tuple[Ballots, ...]
    faults: tuple[PlayerError, ...]
    flags: tuple[str, ...]
    seconds: float
    log: str


@dataclass(frozen=True, eq=False)
class Told:
    """``ballots`` (m, k) on all inputs of a sheet, and how they came."""

    ballots: Ballots
    faults: tuple[PlayerError, ...]
    flags: tuple[str, ...]
    seconds: float
    log: str


# ── who is asked what ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Sheet:
    """All distinct inputs of a judgement, and where each clean and attacked one stands.

    ``process`` (m,): below ``processes``. ``attacked`` (levels, cases): row of each candidate.
    """

    inputs: Inputs
    process: NDArray[np.int64]
    processes: int
    attacked: NDArray[np.int64]


def lay_out(
    clean: Images,
    attacked: Sequence[Images],
    example: NDArray[np.int64],
    stream: np.random.RandomState,
) -> Sheet:
    """Deal x and x' to at least two processes so that no two inputs of an example meet.

    ``attacked``: (cases, *shape) for each level; ``example`` (cases,) says whose they are.
    """
    rows = {(i, x.tobytes()): i for i, x in enumerate(clean)}
    xs, owners = list(clean), list(range(len(clean)))
    turns, had = [0] * len(clean), [0] * len(clean)
    where = np.zeros((len(attacked), len(example)), np.int64)
    for level, candidates in enumerate(attacked):
        for case, (owner, x) in enumerate(zip(example.tolist(), candidates, strict=True)):
            key = (owner, x.tobytes())
            if key not in rows:
                rows[key] = len(xs)
                xs.append(x)
                owners.append(owner)
                had[owner] += 1
                turns.append(had[owner])
            where[level, case] = rows[key]
    owner_of, processes = np.array(owners, np.int64), 1 + max(1, *turns)
    home = np.zeros(len(clean), np.int64)
    home[stream.permutation(len(clean))] = np.arange(len(clean)) % processes
    process = (home[owner_of] + np.array(turns, np.int64)) % processes
    return Sheet(Inputs(np.stack(xs), owner_of), process, processes, where)


def schedule(pairs: int, stream: np.random.RandomState) -> list[Request]:
    """Requests over ``pairs`` (input, repetition) in random order, controls in between.

    The controls come at random moments, some before the answer that counts, so that a defense
    cannot tell them apart: rows alone, rows in other company, and one batch as it was.
    """
    order = stream.permutation(pairs)
    counting = [order[start : start + BATCH] for start in range(0, pairs, BATCH)]
    drawn = stream.permutation(pairs)[: 3 * SAMPLED]
    sample, company = drawn[:SAMPLED], stream.permutation(drawn)
    requests: list[Request] = [(Ask.COUNTS, batch) for batch in counting]
    requests += [(Ask.COMPARE, sample[i : i + 1]) for i in range(len(sample))]
    requests.append((Ask.COMPARE, company))
    requests.append((Ask.AGAIN, counting[stream.randint(len(counting))]))
    return [requests[i] for i in stream.permutation(len(requests))]


# ── asking ─────────────────────────────────────────────────────────────────────────────────


class Judge:
    """Asks one share of the inputs of a fresh defense process, and again after a failure."""

    def __init__(
        self,
        table: Table,
        *,
        purpose: str,
        open_defense: Opener,
        repeats: int | None = None,
        first: int = 0,
        stream: np.random.RandomState | None = None,
    ) -> None:
        """``repeats``: of a stochastic defense; the round's where left out. Their seeds are those
        of the repetitions from ``first`` on. ``stream``: what the order of questions is drawn
        from; the match's where left out."""
        self.table = table
        self.purpose = purpose
        self.open_defense = open_defense
        self.first = first
        self.stream = stream
        self.repeats = repeats_of(table, repeats)
        self.counted = 0
        """Answers so far, for whoever watches."""

    def ask(
        self,
        inputs: Inputs,
        opened: DefenseSeat | PlayerError | None = None,
        *,
        seeds: NDArray[np.uint64] | None = None,
        watched: NDArray[np.int64] | None = None,
    ) -> Session:
        """Put all inputs to the defense; what it leaves unanswered stays without an answer.

        ``opened``: the process that is asked; one is opened where left out. ``seeds`` (m, k): the
        judging ones where left out. ``watched``: pairs whose whole answers are wanted as well.
        """
        session = Session(Ballots.empty(len(inputs), self.repeats))
        if len(inputs) == 0:
            _closed(opened, session)
            return session
        stream = self.stream or self.table.match_stream("judge", self.purpose)
        requests = schedule(len(inputs) * self.repeats, stream)
        seeds = self.seeds(inputs) if seeds is None else seeds
        controls = [pairs for kind, pairs in requests if kind is not Ask.COUNTS]
        controls += [] if watched is None else [watched]
        told: Answered = {pair: [] for pair in np.concatenate(controls).tolist()}
        session.told = told
        for attempt in range(RESTARTS + 1):
            seat = _opened(self.open_defense) if attempt or opened is None else opened
            if isinstance(seat, PlayerError):
                session.faults.append(seat)
                break
            requests = self._run(seat, requests, inputs, seeds, session, told)
            _closed(seat, session)
            if not requests:
                break
        session.differing, session.unsteady = _disagreements(told)
        return session

    def _run(
        self,
        seat: DefenseSeat,
        requests: list[Request],
        inputs: Inputs,
        seeds: NDArray[np.uint64],
        session: Session,
        told: Answered,
    ) -> list[Request]:
        """Ask until done or failed; the requests that are left after a failure."""
        for position, (kind, pairs) in enumerate(requests):
            rows, repetition = pairs // self.repeats, pairs % self.repeats
            try:
                scores = seat.predict(inputs.x[rows], seeds[rows, repetition])
                answers = self.table.read(scores, rows=len(rows))
            except PlayerError as error:
                session.faults.append(error)
                return requests[position + 1 :]
            if kind is Ask.COUNTS:
                self.counted += len(rows)
                session.ballots.labels[rows, repetition] = clear_labels(answers, scores)
                session.ballots.confidence[rows, repetition] = answers.confidence
            for pair, answer in zip(pairs.tolist(), each(answers, scores), strict=True):
                if pair in told:
                    told[pair].append((kind, answer))
        return []

    def seeds(
        self, inputs: Inputs, *, first: int | None = None, repeats: int | None = None
    ) -> NDArray[np.uint64]:
        """(m, k), a function of round secret, defense, example and repetition alone.

        ``first``, ``repeats``: which repetitions; the judge's own where left out.
        """
        first = self.first if first is None else first
        repeats = self.repeats if repeats is None else repeats
        examples, owner = np.unique(inputs.example, return_inverse=True)
        index = self.table.examples.index[examples]
        secret, defense = self.table.secret, self.table.defense.sha256
        columns = [row_seeds(secret, defense, index, first + j) for j in range(repeats)]
        return np.stack(columns, axis=1)[owner]


def repeats_of(table: Table, repeats: int | None = None) -> int:
    """How often an input is asked: the round's number where ``repeats`` is left out."""
    stochastic = table.defense.manifest.stochastic
    return (repeats or table.round.repeats) if stochastic else 1


def _disagreements(told: Answered) -> tuple[int, int]:
    """How many rows differ in another batch, and how many in the very same batch."""
    differing = unsteady = 0
    for answers in told.values():
        counted = next((answer for kind, answer in answers if kind is Ask.COUNTS), None)
        if counted is None:
            continue
        differing += any(counted.differs(answer) for kind, answer in answers if kind is Ask.COMPARE)
        unsteady += any(counted.differs(answer) for kind, answer in answers if kind is Ask.AGAIN)
    return differing, unsteady


def _opened(opener: Opener) -> DefenseSeat | PlayerError:
    try:
        return opener()
    except PlayerError as error:
        return error


def _closed(seat: DefenseSeat | PlayerError | None, session: Session) -> None:
    if seat is not None and not isinstance(seat, PlayerError):
        session.seconds += seat.seconds
        session.log += seat.close()


def _fault(code: FaultCode, message: str) -> PlayerError:
    return PlayerError(Side.DEFENSE, code, message)


# ── the whole judgement ────────────────────────────────────────────────────────────────────


def judge(
    table: Table,
    attacked: Sequence[Images],
    example: NDArray[np.int64],
    opened: Sequence[DefenseSeat | PlayerError] = (),
    *,
    draw: Draw | None = None,
) -> Judgement:
    """Judge the admitted candidates (cases, *shape) of each level, in the processes ``opened`` and
    in more, two at a time. ``draw``: the streams of its orders; the match's where left out.

    A defense whose answers hang on more than input and seed gets none of them counted.
    """
    draw = draw or table.match_stream
    sheet = lay_out(table.examples.x, attacked, example, draw("halves"))
    told = asked_apart(table, sheet, opened, draw=draw)
    clean = told.ballots.take(np.arange(len(table.examples)))
    return Judgement(
        clean=clean,
        attacked=tuple(told.ballots.take(rows) for rows in sheet.attacked),
        faults=told.faults,
        flags=told.flags,
        seconds=told.seconds,
        log=told.log,
    )


def asked_apart(
    table: Table,
    sheet: Sheet,
    opened: Sequence[DefenseSeat | PlayerError] = (),
    *,
    draw: Draw,
    repeats: int | None = None,
) -> Told:
    """Ask each process its share of the sheet, two at a time; arguments as of :func:`judge`, and
    ``repeats`` as of :class:`Judge`."""
    judges = [
        Judge(
            table,
            purpose=f"process {p}",
            open_defense=table.seats.open_defense,
            repeats=repeats,
            stream=draw("judge", f"process {p}"),
        )
        for p in range(sheet.processes)
    ]
    shares = [np.flatnonzero(sheet.process == p) for p in range(sheet.processes)]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        asking = [
            pool.submit(one.ask, sheet.inputs.take(rows), seat)
            for one, rows, seat in zip_longest(judges, shares, opened)
        ]
        _tell(table, judges, asking, total=len(sheet.inputs) * judges[0].repeats)
    return _gathered(sheet, shares, [share.result() for share in asking])


def _tell(
    table: Table, judges: Sequence[Judge], asking: Sequence[Future[Session]], *, total: int
) -> None:
    """Report until both processes are done."""
    sentence = f"Judging {total:,} answers in {len(judges)} fresh processes."
    table.report("judge", 0, total, sentence)
    while wait(asking, timeout=PROGRESS_SECONDS).not_done:
        table.report("judge", sum(judge.counted for judge in judges), total, sentence)
    table.report("judge", total, total, "Judged.")


def _gathered(sheet: Sheet, shares: list[NDArray[np.int64]], sessions: list[Session]) -> Told:
    distrusted = [fault for s in sessions if (fault := s.distrusted) is not None]
    repeats = sessions[0].ballots.labels.shape[1]
    ballots = Ballots.empty(len(sheet.inputs), repeats)
    if not distrusted:
        for rows, session in zip(shares, sessions, strict=True):
            ballots.labels[rows] = session.ballots.labels
            ballots.confidence[rows] = session.ballots.confidence
    return Told(
        ballots,
        faults=tuple(distrusted + [fault for s in sessions for fault in s.faults]),
        flags=_flags(sessions),
        seconds=sum(s.seconds for s in sessions),
        log="".join(s.log for s in sessions),
    )


def _flags(sessions: list[Session]) -> tuple[str, ...]:
    flags = []
    if any(s.unsteady for s in sessions):
        flags.append(CHANGED_OUTPUT)
    if any(s.differing for s in sessions):
        flags.append("rows_depend_on_each_other")
    return tuple(flags)
