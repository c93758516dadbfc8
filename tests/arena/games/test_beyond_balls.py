"""Patches, turns and shifts, corruptions: whole matches with fake seats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena.changes.corruptions import KINDS, corrupted
from arena.changes.warp import warped
from arena.controls import asked
from arena.errors import ThreatModelError
from arena.games.battery import PROCESSES, dealt
from arena.games.controls import Controls
from arena.games.moves import budget_of
from arena.players import EvasionChallenge
from arena.referee import MatchSpec, lay_table
from arena.rounds import GameName, Norm
from arena.tasks import Split, Task
from arena.tasks.split import Splits
from arena.threat_model import Feedback, ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.fakes import (
    SECRET,
    Array,
    Fakes,
    NoBackend,
    defense_package,
    leave_alone,
    package,
    play,
    spec,
    toy_task,
)

SIDE = 9


class Halves:
    """Left (0) or right (1): where there is more light. A spot moved over the middle breaks it."""

    def predict(self, x: Array, seeds: Array) -> Array:
        left, right = (
            x[..., : SIDE // 2].sum(axis=(1, 2, 3)),
            x[..., SIDE // 2 :].sum(axis=(1, 2, 3)),
        )
        return np.stack([left, right, np.full(len(x), -9.0)], axis=1).astype(np.float32)


def spots(rows: int = 20) -> Task:
    """A spot two pixels left or right of the line that halves the picture."""
    x = np.zeros((rows, 1, SIDE, SIDE), np.float32)
    y = np.arange(rows) % 2
    x[np.arange(rows), 0, np.arange(rows) % SIDE, np.where(y == 0, 2, 5)] = 1.0
    points = Split("practice", x, y.astype(np.int64))
    splits = Splits(points, points)
    return replace(toy_task(), shape=(1, SIDE, SIDE), read=lambda: splits)


def against(attack: Any, norm: Norm, *levels: float, **rules: Any) -> Verdict:
    model = rules.pop("model", ThreatModel.white())
    round_ = spec(model, norm=norm, epsilons=levels, examples=20, **rules)
    needs = {"norms": [norm.value]}
    return play(
        Fakes(attack, Halves),
        round_,
        attack=package("attack", needs=needs),
        defense=defense_package(),
        task=spots(),
    )


def columns(verdict: Verdict) -> Any:
    assert verdict.outcome is not None
    return verdict.outcome.columns


# ── spatial ────────────────────────────────────────────────────────────────────────────────


def over_the_line(challenge: EvasionChallenge) -> Array:
    """Three pixels towards the other half."""
    assert challenge.y is not None
    moves = np.zeros((len(challenge), 3), np.float32)
    moves[:, 1] = np.where(challenge.y == 0, 3, -3)
    return moves


def test_the_referee_makes_the_picture_of_a_move() -> None:
    verdict = against(over_the_line, Norm.SPATIAL, 30.0)
    assert verdict.metrics["attack_success_rate"] == 1.0
    assert verdict.metrics["median_distance"] is None
    assert verdict.outcome is not None
    clean, (attacked,) = verdict.outcome.images["clean"], verdict.outcome.images["attacked"]
    right = np.where(columns(verdict)["y"] == 0, 3.0, -3.0)
    moves = np.stack([np.zeros(20), right, np.zeros(20)], axis=1)
    assert (attacked == warped(clean, moves)).all()
    assert set(columns(verdict)["move"]) == {
        "0.0°, 3.0 px right, 0.0 px down",
        "0.0°, 3.0 px left, 0.0 px down",
    }


def test_the_shift_of_each_level_binds() -> None:
    verdict = against(over_the_line, Norm.SPATIAL, 10.0, 20.0, shifts=(2.9, 3.0))
    assert [point["rejected"] for point in verdict.curve] == [20, 0]
    assert [point["attack_success_rate"] for point in verdict.curve] == [0.0, 1.0]
    assert set(columns(verdict)["rejected"]) == {"over_budget", ""}


@pytest.mark.parametrize(
    ("move", "reason"),
    [((30.1, 0, 0), "over_budget"), ((0, 0, -3.1), "over_budget"), ((np.nan, 0, 0), "not_finite")],
)
def test_a_move_out_of_bounds_is_rejected(move: tuple[float, ...], reason: str) -> None:
    def cheat(challenge: EvasionChallenge) -> Array:
        return np.repeat(np.array([move], np.float32), len(challenge), axis=0)

    verdict = against(cheat, Norm.SPATIAL, 30.0)
    assert set(columns(verdict)["rejected"]) == {reason}
    assert verdict.metrics["attack_success_rate"] == 0.0


def test_pictures_are_no_moves() -> None:
    verdict = against(leave_alone, Norm.SPATIAL, 30.0)
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert verdict.fault.code == "wrong_shape"


def test_the_challenge_shows_what_the_referee_will_make() -> None:
    def look(challenge: EvasionChallenge) -> Array:
        moves = over_the_line(challenge)
        told = challenge.defense.logits(challenge.applied(moves))
        assert (told.argmax(axis=1) != challenge.y).all()
        assert challenge.candidate_shape == (3,)
        assert challenge.shift == pytest.approx(3.0)
        return moves

    assert against(look, Norm.SPATIAL, 30.0).metrics["attack_success_rate"] == 1.0


def test_feedback_takes_moves_and_counts_the_probe_that_found_one() -> None:
    def checking(challenge: EvasionChallenge) -> Array:
        still = np.zeros((len(challenge), 3), np.float32)
        moves = over_the_line(challenge)
        assert not challenge.defense.check(still).any()
        assert not challenge.defense.check(2 * moves).any()  # out of bounds: no success
        assert challenge.defense.check(moves).all()
        return moves

    model = replace(ThreatModel.black(queries=5), feedback=Feedback.SUCCESS)
    verdict = against(checking, Norm.SPATIAL, 30.0, model=model)
    assert verdict.fault is None
    assert set(columns(verdict)["queries"]) == {3}
    assert set(columns(verdict)["queries_to_success"]) == {3}


def test_a_picture_asked_tells_of_no_move() -> None:
    def asking(challenge: EvasionChallenge) -> Array:
        challenge.defense.ask(np.ascontiguousarray(challenge.x[..., ::-1]))
        return over_the_line(challenge)

    verdict = against(asking, Norm.SPATIAL, 30.0, model=ThreatModel.black(queries=5))
    assert set(columns(verdict)["queries_to_success"]) == {-1}
    assert verdict.metrics["attack_success_rate"] == 1.0


def test_moves_handed_in_early_stand_after_a_crash() -> None:
    def crashing(challenge: EvasionChallenge) -> Array:
        challenge.submit(over_the_line(challenge))
        raise RuntimeError("too late")

    verdict = against(crashing, Norm.SPATIAL, 30.0)
    assert verdict.status is Status.FORFEIT
    assert verdict.metrics["attack_success_rate"] == 1.0


def test_features_that_are_no_picture_cannot_be_turned() -> None:
    round_ = spec(norm=Norm.SPATIAL, epsilons=(30.0,))
    verdict = play(
        Fakes(leave_alone), round_, attack=package("attack", needs={"norms": ["spatial"]})
    )
    assert verdict.status is Status.VOID
    assert "pictures" in verdict.fault.sentence  # type: ignore[union-attr]


def test_an_attack_that_names_no_norm_plays_no_turns() -> None:
    round_ = spec(norm=Norm.SPATIAL, epsilons=(30.0,))
    assert play(Fakes(leave_alone), round_).status is Status.NOT_APPLICABLE


# ── patches ────────────────────────────────────────────────────────────────────────────────


def paint(challenge: EvasionChallenge) -> Array:
    """Two bright pixels in the other half, side by side."""
    assert challenge.y is not None
    x = challenge.x.copy()
    for image, y in zip(x, challenge.y, strict=True):
        image[0, 0, slice(6, 8) if y == 0 else slice(0, 2)] = 1.0
    return x


def test_a_patch_may_do_all_within_its_rectangle() -> None:
    verdict = against(paint, Norm.PATCH, 1 / 81, 2 / 81)
    assert [point["rejected"] for point in verdict.curve] == [20, 0]
    assert verdict.metrics["attack_success_rate"] == 1.0
    assert columns(verdict)["patch"][-20:] == pytest.approx(2 / 81)


def test_two_changes_far_apart_are_one_large_patch() -> None:
    def corners(challenge: EvasionChallenge) -> Array:
        x = paint(challenge)
        x[:, 0, -1, -1] = 0.5
        return x

    verdict = against(corners, Norm.PATCH, 0.1)
    assert verdict.metrics["rejected"] == 20


def test_the_smallest_patch_is_a_minimum_norm_round() -> None:
    verdict = against(paint, Norm.PATCH, game=GameName.MINIMUM_NORM)
    assert verdict.metrics["median_distance"] == pytest.approx(2 / 81)


# ── corruptions ────────────────────────────────────────────────────────────────────────────


def blur(challenge: EvasionChallenge) -> Array:
    assert challenge.epsilon is not None
    kind = KINDS.index("gaussian_blur")
    return np.repeat(np.array([[kind, challenge.epsilon]], np.float32), len(challenge), axis=0)


def test_a_corruption_is_made_by_the_referee() -> None:
    verdict = against(blur, Norm.CORRUPTION, 1.0, 5.0)
    assert verdict.outcome is not None
    attacked = verdict.outcome.images["attacked"][-1]
    moves = np.repeat([[KINDS.index("gaussian_blur"), 5]], 20, axis=0)
    clean = verdict.outcome.images["clean"]
    assert (attacked == corrupted(clean, moves, np.zeros(20, np.uint64))).all()
    assert set(columns(verdict)["move"][-20:]) == {"gaussian blur, severity 5"}


def test_the_draws_of_a_corruption_are_the_round_s_and_no_attack_s() -> None:
    seen = []

    def noise(challenge: EvasionChallenge) -> Array:
        moves = np.repeat(np.array([[0, 3]], np.float32), len(challenge), axis=0)
        seen.append(challenge.applied(moves))
        return moves

    one, other = (against(noise, Norm.CORRUPTION, 3.0) for _ in range(2))
    assert one.outcome is not None
    assert other.outcome is not None
    judged = one.outcome.images["attacked"][0]
    assert (judged == other.outcome.images["attacked"][0]).all()
    assert not any((picture == row).all() for picture in seen[0] for row in judged)


@pytest.mark.parametrize(
    ("move", "reason"),
    [((0, 4), "over_budget"), ((99, 1), "out_of_range"), ((0.5, 1), "out_of_range"),
     ((-1, 1), "out_of_range"), ((0, np.inf), "not_finite")],
)  # fmt: skip
def test_no_other_corruption_passes(move: tuple[float, ...], reason: str) -> None:
    def cheat(challenge: EvasionChallenge) -> Array:
        return np.repeat(np.array([move], np.float32), len(challenge), axis=0)

    assert set(columns(against(cheat, Norm.CORRUPTION, 3.0))["rejected"]) == {reason}


def test_the_battery_needs_no_attack() -> None:
    def nothing(challenge: EvasionChallenge) -> Array:
        return np.zeros((len(challenge), 2), np.float32)

    one, other = (against(attack, Norm.CORRUPTION, 1.0, 5.0) for attack in (nothing, blur))
    assert one.metrics["corruption_accuracy"] == other.metrics["corruption_accuracy"]
    levels = [point["corruption_accuracy"] for point in one.curve]
    assert one.metrics["corruption_accuracy"] == pytest.approx(np.mean(np.array(levels, float)))
    assert set(one.provenance["corruptions"]) == set(KINDS)
    kinds = list(one.provenance["corruptions"].values())
    assert np.mean(kinds) == pytest.approx(one.metrics["corruption_accuracy"])
    assert one.metrics["attack_success_rate"] == 0.0


def test_a_battery_asked_before_gives_the_same_figures(tmp_path: Path) -> None:
    round_ = spec(norm=Norm.CORRUPTION, epsilons=(1.0, 5.0), examples=20)
    attack = package("attack", needs={"norms": [Norm.CORRUPTION.value]})
    match = MatchSpec(round_, attack, defense_package(), 3, SECRET)
    table = lay_table(
        match,
        backend=NoBackend(),
        task=spots(),
        progress=lambda step: None,
        maker=Fakes(blur, Halves),
    )
    asked(table).write(tmp_path / "controls.npz")
    kept = Controls.read(tmp_path / "controls.npz")
    makers = [Fakes(blur, Halves) for _ in range(2)]
    with_it, without = (
        play(maker, round_, attack=attack, defense=match.defense, task=spots(), controls=controls)
        for maker, controls in zip(makers, (kept, None), strict=True)
    )
    assert with_it.metrics == without.metrics
    assert with_it.curve == without.curve
    assert with_it.provenance["corruptions"] == without.provenance["corruptions"]
    assert len(makers[0].opened) == len(makers[1].opened) - PROCESSES


class PairsTwins(Halves):
    """Of what it meets in one process, one spot in one row, says the same: what most of it shows.
    Of a picture it says for ever what it said first."""

    def __init__(self) -> None:
        self.said: dict[bytes, Array] = {}

    def predict(self, x: Array, seeds: Array) -> Array:
        scores = super().predict(x, seeds)
        row = x.sum(axis=(1, 3)).argmax(axis=1)
        right = scores[:, 1] > scores[:, 0]
        for picture, of in zip(x, row, strict=True):
            votes = right[row == of].mean()
            self.said.setdefault(picture.tobytes(), np.array([1 - votes, votes, -9.0]))
        return np.stack([self.said[picture.tobytes()] for picture in x]).astype(np.float32)


def test_a_defense_that_pairs_pictures_of_one_example_gains_nothing() -> None:
    def accuracy(defense: Any) -> float:
        verdict = play(
            Fakes(blur, defense),
            spec(norm=Norm.CORRUPTION, epsilons=(5.0,), examples=9),
            attack=package("attack", needs={"norms": [Norm.CORRUPTION.value]}),
            defense=defense_package(),
            task=spots(9),
        )
        assert verdict.fault is None
        return verdict.metrics["corruption_accuracy"] or 0.0

    assert accuracy(PairsTwins) <= accuracy(Halves)
    assert accuracy(Halves) < 0.9


@pytest.mark.parametrize(("rows", "levels"), [(9, (1.0, 5.0)), (20, (5.0,)), (400, (1.0, 3.0))])
def test_each_picture_of_an_example_has_a_process_of_its_own(
    rows: int, levels: tuple[float, ...]
) -> None:
    round_ = spec(norm=Norm.CORRUPTION, epsilons=levels, examples=rows)
    attack = package("attack", needs={"norms": [Norm.CORRUPTION.value]})
    table = lay_table(
        MatchSpec(round_, attack, defense_package(), 3, SECRET),
        backend=NoBackend(),
        task=spots(rows),
        progress=lambda step: None,
        maker=Fakes(blur, Halves),
    )
    deal = dealt(table, tuple(budget_of(table, level) for level in levels))
    example, process = deal.sheet.inputs.example, deal.sheet.process
    assert len({*zip(example.tolist(), process.tolist(), strict=True)}) == len(example)
    assert len({*zip(example.tolist(), deal.level, deal.kind, strict=True)}) == len(example)
    assert set(example.tolist()) == set(range(rows))
    cells = np.bincount(deal.level * len(KINDS) + deal.kind, minlength=len(KINDS) * len(levels))
    assert cells.max() - cells.min() <= 1
    assert cells.min() >= 1
    assert deal.sheet.processes <= PROCESSES


def test_the_battery_is_what_the_defense_answers() -> None:
    """Contrast draws nothing, so that it can be made here too."""
    verdict = against(blur, Norm.CORRUPTION, 1.0)
    task = spots()
    seeds = np.zeros(20, np.uint64)
    moves = np.repeat([[KINDS.index("contrast"), 1]], 20, axis=0)
    told = Halves().predict(corrupted(task.practice.x, moves, seeds), seeds).argmax(axis=1)
    assert verdict.provenance["corruptions"]["contrast"] == np.mean(told == task.practice.y)


# ── rounds ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rules", "setting"),
    [
        ({"norm": Norm.PATCH, "epsilons": (1.5,)}, "epsilons"),
        ({"norm": Norm.SPATIAL, "epsilons": (200.0,)}, "epsilons"),
        ({"norm": Norm.CORRUPTION, "epsilons": (2.5,)}, "epsilons"),
        ({"norm": Norm.CORRUPTION, "epsilons": (6.0,)}, "epsilons"),
        ({"norm": Norm.LINF, "shifts": (1.0,)}, "shifts"),
        ({"norm": Norm.SPATIAL, "epsilons": (10.0, 20.0), "shifts": (1.0,)}, "shifts"),
        ({"norm": Norm.SPATIAL, "epsilons": (10.0, 20.0), "shifts": (2.0, 1.0)}, "shifts"),
        ({"norm": Norm.SPATIAL, "game": GameName.MINIMUM_NORM}, "norm"),
        ({"norm": Norm.CORRUPTION, "game": GameName.CERTIFICATION, "epsilons": (1.0,)}, "norm"),
    ],
)
def test_a_round_that_makes_no_sense_is_refused(rules: dict[str, Any], setting: str) -> None:
    with pytest.raises(ThreatModelError) as refused:
        spec(**rules)
    assert refused.value.switch == setting


def test_shifts_are_a_tenth_of_a_pixel_a_degree_unless_told() -> None:
    usual = spec(norm=Norm.SPATIAL, epsilons=(10.0, 30.0))
    assert usual.shift_at(30.0) == pytest.approx(3.0)
    told = spec(norm=Norm.SPATIAL, epsilons=(10.0, 30.0), shifts=(0.0, 5.0))
    assert (told.shift_at(10.0), told.shift_at(30.0)) == (0.0, 5.0)
    assert type(told).from_json(told.to_json()) == told
