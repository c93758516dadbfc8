"""Replay, the test-set attack: a mistake that was found is played again and again.

The attack plays as in evasion, at each epsilon of the round; what it hands in is a *proposal* where
it moved the example, and where it moved none every example is one, as it is (the test-set attack of
Gilmer et al. 2018, arXiv:1807.06732, has no other power). The referee then plays N answers, the
proposals in turn, each with a seed of its own that nobody has seen: P is the share of wrong ones,
and the loss is N P. So an attack does best that proposes one input, and the surest. It need not be
a kill: a mistake on x itself can be repeated as well.

A defense that draws nothing at random gives the same wrong answer every time, and is asked once for
each proposal; one that does may answer right the next time. The process that is asked has met
neither the attack nor a clean example, and may know by that what it is asked for. So some answers
of the judgement are put to it again, with the seeds that they had: they must be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.answers import NO_ANSWER
from arena.games.ball import Scored, ball_result, play
from arena.games.base import GameResult, Table, fault_of
from arena.games.heard import differing
from arena.games.judgement import Ballots, Inputs, Judge, Session
from arena.games.opening import guarded
from arena.games.scoring import Level, level_metrics, rule_attacked
from arena.metrics import Bits, Metrics
from arena.verdict import Kills

FRESH: Final = 1 << 21
"""The repetition whose seeds replays are drawn from: beyond those of judgement and of claims."""

HELD: Final = 48
"""Answers of the judgement that are put again, at least; each proposal's, as often as it takes."""

Rows = NDArray[np.int64]


class Replay:
    """An attack of any kind that plays evasion; one that proposes the surest mistake does best."""

    def play(self, table: Table) -> GameResult:
        scored = play(table, table.round.epsilons)
        proposed = [_proposals(table, level) for level in scored.levels]
        session = Session(Ballots.empty(sum(map(len, proposed)), 1))
        if not scored.play.defense_failed:
            session = _ask(table, scored, proposed)
        return _result(table, scored, proposed, session)


@dataclass(frozen=True, eq=False)
class _Replays:
    """(N,) whether each answer of a level was wrong, of so many ``proposals``."""

    wrong: Bits
    proposals: int


# ── asking ─────────────────────────────────────────────────────────────────────────────────


def _proposals(table: Table, level: Level) -> Rows:
    """The cases whose example was moved, or all where none was; at most N, drawn."""
    clean = table.examples.x[level.cases.example]
    moved = (level.admitted.x != clean).reshape(len(clean), -1).any(axis=1)
    rows = np.flatnonzero(moved) if moved.any() else np.arange(len(clean))
    stream = table.match_stream("replay", str(level.epsilon))
    return np.sort(stream.permutation(rows)[: table.round.replays])


def _ask(table: Table, scored: Scored, proposed: Sequence[Rows]) -> Session:
    """Every proposal of every level, as often as the largest number of turns."""
    turns = max(-(-table.round.replays // len(rows)) for rows in proposed)
    table.report("replay", 0, 1, f"Playing {table.round.replays:,} answers again.")
    levels = list(zip(scored.levels, scored.judged.attacked, proposed, strict=True))
    inputs = Inputs(
        np.concatenate([level.admitted.x[rows] for level, _, rows in levels]),
        np.concatenate([level.cases.example[rows] for level, _, rows in levels]),
    )
    judged = Ballots.joined([ballots.take(rows) for _, ballots, rows in levels])
    session, again = _played(table, inputs, judged, turns=turns)
    table.report("replay", 1, 1, "Played again.")
    session.misled = differing(again, judged).distrusted
    if session.distrusted is not None:
        session.ballots = Ballots.empty(*session.ballots.labels.shape)
    return session


def _played(
    table: Table, inputs: Inputs, judged: Ballots, *, turns: int
) -> tuple[Session, Ballots]:
    """The replays, and what was said once more to some of what was ``judged`` (m, k).

    A defense that draws nothing is asked only once: what it says now is what it said then.
    """
    again = min(judged.labels.shape[1], -(-HELD // len(inputs)))
    judge = Judge(
        table,
        purpose="replay",
        open_defense=table.seats.open_defense,
        repeats=turns + again,
        first=FRESH,
    )
    opened = guarded(judge.open_defense)()
    if not table.defense.manifest.stochastic:
        session = judge.ask(inputs, opened)
        said = session.ballots
        answered = said.labels != NO_ANSWER
        session.ballots = Ballots(np.where(answered, judged.labels, NO_ANSWER), said.confidence)
        return session, said
    fresh, before = judge.seeds(inputs, repeats=turns), judge.seeds(inputs, first=0, repeats=again)
    session = judge.ask(inputs, opened, seeds=np.concatenate([fresh, before], axis=1))
    session.ballots, repeated = session.ballots.split(turns)
    return session, repeated


# ── the result ─────────────────────────────────────────────────────────────────────────────


def _result(
    table: Table,
    scored: Scored,
    proposed: Sequence[Rows],
    session: Session,
) -> GameResult:
    ends = np.cumsum([len(rows) for rows in proposed])
    replays = [
        _replays(table, scored, level, rows, session.ballots.take(np.arange(end - len(rows), end)))
        for level, rows, end in zip(scored.levels, proposed, ends, strict=True)
    ]
    curve = [
        {**level_metrics(level, table), **figures(played.wrong, played.proposals)}
        for level, played in zip(scored.levels, replays, strict=True)
    ]
    found = ball_result(table, scored, curve)
    every = np.arange(table.round.replays)
    return replace(
        found,
        kills=Kills(
            examples=every,
            clean_right=np.ones(len(every), bool),
            broken=np.stack([played.wrong for played in replays]),
            epsilons=table.round.epsilons,
        ),
        faults=(*found.faults, *(fault_of(error) for error in session.blamed)),
        seconds={**found.seconds, "defense": found.seconds["defense"] + session.seconds},
        logs={**found.logs, "defense": found.logs["defense"] + session.log},
        details={**found.details, "replayed": table.examples.index[_examples(scored, proposed)]
                 .tolist()},
    )  # fmt: skip


def _replays(table: Table, scored: Scored, level: Level, rows: Rows, ballots: Ballots) -> _Replays:
    """N answers: the proposals in turn, and a fresh seed at every turn."""
    turn = np.arange(table.round.replays)
    proposal = turn % len(rows)
    repetition = (turn // len(rows)) % ballots.labels.shape[1]
    told = Ballots(
        ballots.labels[proposal, repetition][:, None],
        ballots.confidence[proposal, repetition][:, None],
    )
    cases = rows[proposal]
    ruling = rule_attacked(
        told,
        table.examples.y[level.cases.example[cases]],
        level.cases.target_or_none[cases],
        level.clean_right[cases],
        abstaining_allowed="abstains_too_often" not in scored.flags,
    )
    return _Replays(ruling.mostly_wrong, len(rows))


def figures(wrong: Bits, proposals: int) -> Metrics:
    """P(wrong again) with Wilson's interval over the (N,) answers, and N times all three."""
    found = metrics.share("wrong_again", wrong)
    told = {
        name.replace("wrong_again", "replay_loss"): None if p is None else len(wrong) * p
        for name, p in found.items()
    }
    return {"replays": len(wrong), "proposals": proposals, **found, **told}


def _examples(scored: Scored, proposed: Sequence[Rows]) -> Rows:
    """Whose proposals were played again at the largest epsilon; the first twenty are named."""
    rows: Rows = scored.levels[-1].cases.example[proposed[-1][:20]]
    return rows
