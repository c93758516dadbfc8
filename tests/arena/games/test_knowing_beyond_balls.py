"""Defenses that tell an attack something else than the judge, in games beyond the norm ball.

Each knows by what else it was asked, in the same process, that it is not judging. None of them
contradicts itself there: of a picture, or a mail, it says what it said first.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, Side
from arena.players import EvasionChallenge
from arena.rounds import GameName, Norm
from arena.tasks import Split, Task
from arena.tasks.split import Splits
from arena.threat_model import Feedback, ThreatModel
from arena.verdict import Verdict
from tests.arena.fakes import Array, Fakes, defense_package, package, play, spec, toy_task

BLACK = ThreatModel.black(queries=100)


class Steady:
    """Says of an input what it said first."""

    def __init__(self) -> None:
        self.said: dict[bytes, Array] = {}
        self.met: list[Array] = []

    def predict(self, x: Array, seeds: Array) -> Array:
        self.met += [row for row in x if row.tobytes() not in self.said]
        met = np.stack(self.met)
        for row, scores in zip(x, self.honest(x), strict=True):
            if row.tobytes() not in self.said:
                self.said[row.tobytes()] = self.first_said(row, scores, met)
        return np.stack([self.said[row.tobytes()] for row in x])

    def honest(self, x: Array) -> Array:
        raise NotImplementedError

    def first_said(self, row: Array, scores: Array, met: Array) -> Array:
        return scores


def misled(verdict: Verdict) -> bool:
    fault = verdict.fault
    return fault is not None and (fault.side, fault.code) == (
        Side.DEFENSE,
        FaultCode.NOT_DETERMINISTIC,
    )


# ── turns and shifts ───────────────────────────────────────────────────────────────────────

SIDE, FAR = 12, 3
LEFT, RIGHT = 0, 1


def lights(rows: int = 40) -> Task:
    """Two columns of light, of a pattern of its own, to the left or the right of the middle."""
    stream = np.random.default_rng(2)
    x = np.zeros((rows, 1, SIDE, SIDE), np.float32)
    y = np.arange(rows) % 2
    for picture, label in zip(x, y, strict=True):
        first = 4 if label == LEFT else 6
        picture[0, :, first : first + 2] = stream.uniform(0, 1, (SIDE, 2))
    points = Split("practice", x, y.astype(np.int64))
    return replace(toy_task(classes=2), shape=(1, SIDE, SIDE), read=lambda: Splits(points, points))


class Halves(Steady):
    """Where there is more light."""

    def honest(self, x: Array) -> Array:
        left, right = (half.sum(axis=(1, 2, 3)) for half in (x[..., :6], x[..., 6:]))
        return np.stack([left, right], axis=1).astype(np.float32)


class KnowsWhatWasShifted(Halves):
    """Of a picture whose pattern it met nearer to the middle, it says what it says of that."""

    def first_said(self, row: Array, scores: Array, met: Array) -> Array:
        for shift in (-FAR, FAR):
            twin = np.roll(row, shift, axis=2)
            middle = twin[..., 4:8].sum() > 0.99 * twin.sum()
            if middle and np.abs(met - twin).max(axis=(1, 2, 3)).min() < 1e-5:
                return self.honest(twin[None])[0]
        return scores


def shifts_that_are_told(challenge: EvasionChallenge, *, question: str) -> Array:
    """Three pixels either way, if the defense says that it falls to them."""
    found = np.zeros((len(challenge), 3), np.float32)
    answers = getattr(challenge.defense, question)
    answers(challenge.x)
    for shift in (-FAR, FAR):
        moves = np.repeat(np.array([[0, shift, 0]], np.float32), len(challenge), axis=0)
        fell = answers(challenge.applied(moves)).argmax(axis=1) != challenge.y
        found[fell] = moves[fell]
    return found


def shifts_that_are_checked(challenge: EvasionChallenge) -> Array:
    found = np.zeros((len(challenge), 3), np.float32)
    challenge.defense.check(found)
    for shift in (-FAR, FAR):
        moves = np.repeat(np.array([[0, shift, 0]], np.float32), len(challenge), axis=0)
        fell = challenge.defense.check(moves)
        found[fell] = moves[fell]
    return found


ASKING = {
    "asked": (partial(shifts_that_are_told, question="ask"), BLACK),
    "checked": (shifts_that_are_checked, replace(BLACK, feedback=Feedback.SUCCESS)),
    "white box": (partial(shifts_that_are_told, question="logits"), ThreatModel.white()),
}


@pytest.mark.parametrize("how", ASKING)
def test_a_defense_that_knows_what_was_shifted_misleads_nobody(how: str) -> None:
    attack, model = ASKING[how]
    round_ = spec(model, norm=Norm.SPATIAL, epsilons=(30.0,), examples=40)

    def against(defense: Any) -> Verdict:
        alice = package("attack", needs={"norms": ["spatial"]})
        fakes = Fakes(attack, defense)
        return play(fakes, round_, attack=alice, defense=defense_package(), task=lights())

    honest = against(Halves)
    assert honest.fault is None
    assert honest.metrics["attack_success_rate"] == 1.0
    assert misled(against(KnowsWhatWasShifted))


# ── words ──────────────────────────────────────────────────────────────────────────────────

WORDS, SPAMMY, GOOD = 80, slice(0, 20), slice(20, 40)
HAM, SPAM = 0, 1


def mails() -> Task:
    """Spam has more spammy words than good ones; most words say nothing."""
    stream = np.random.default_rng(3)
    x = (stream.random((60, WORDS)) < 0.5).astype(np.float32)
    points = Split("practice", x, (margin(x) > 0).astype(np.int64))
    return replace(
        toy_task(classes=2),
        shape=(WORDS,),
        classes=("ham", "spam"),
        norms={"l0": (4, 8)},
        grid=2,
        add_only=np.ones(WORDS, bool),
        attacker_class=SPAM,
        read=lambda: Splits(points, points),
    )


def margin(x: Array) -> Array:
    return np.asarray(x[:, SPAMMY].sum(axis=1) - x[:, GOOD].sum(axis=1))


class Filter(Steady):
    def honest(self, x: Array) -> Array:
        spam = margin(x) - 0.5
        return np.stack([-spam, spam], axis=1).astype(np.float32)


class KnowsWhatWasTakenOut(Filter):
    """Blocks every mail that lacks words of one it met, as no judge's does: no word seems good."""

    def first_said(self, row: Array, scores: Array, met: Array) -> Array:
        near = np.abs(met - row).sum(axis=1) < WORDS / 4
        reduced = near & (met > row).any(axis=1)
        return np.array([-9, 9], np.float32) if reduced.any() else scores


def words_by_probes(challenge: EvasionChallenge) -> Array:
    """As Lowd & Meek: a mail is made barely blocked, and a word that lets it pass is a good one."""
    x = challenge.x
    barely = x.copy()
    spam = np.flatnonzero(challenge.defense.ask(x).argmax(axis=1) == SPAM)
    for row in spam:
        for word in np.flatnonzero(x[row])[::-1]:  # the spammiest last
            tried = barely[row].copy()
            tried[word] = 0
            if challenge.defense.ask(tried[None], np.array([row]))[0].argmax() == SPAM:
                barely[row] = tried
    liked = np.zeros(WORDS)
    for row in spam:
        lacking = np.flatnonzero(barely[row] == 0)
        for word in challenge.rng().permutation(lacking)[:20]:
            tried = barely[row].copy()
            tried[word] = 1
            told = challenge.defense.ask(tried[None], np.array([row]))[0]
            liked[word] += told.argmax() == HAM
    padded = x.copy()
    for row in padded:
        lacking = [word for word in np.argsort(-liked) if liked[word] and row[word] == 0]
        row[lacking[: int(challenge.epsilon or 0)]] = 1
    return padded


def test_a_filter_that_knows_what_was_taken_out_misleads_nobody() -> None:
    round_ = spec(
        ThreatModel.black(queries=200),
        game=GameName.GOOD_WORDS,
        norm=Norm.L0,
        epsilons=(8.0,),
        examples=60,
    )

    def against(defense: Any) -> Verdict:
        fakes = Fakes(words_by_probes, defense)
        return play(fakes, round_, defense=defense_package(), task=mails())

    honest = against(Filter)
    assert honest.fault is None
    assert (honest.metrics["attack_success_rate"] or 0) > 0.8
    assert misled(against(KnowsWhatWasTakenOut))
