"""Candidates are accepted or rejected, never clipped; noise and norms are measured in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from arena.games.admission import Admitted, Budget, admit
from arena.games.norms import MEASURED, distance, farthest, random_perturbation
from arena.rounds import Norm

SHAPE = (3, 4, 4)
CLEAN = np.random.default_rng(0).uniform(0.2, 0.8, (2, *SHAPE)).astype(np.float32)


def one(candidate: object, budget: Budget) -> Admitted:
    clean = CLEAN[:1]
    return admit(np.asarray(candidate), clean, budget)


def test_a_tally_says_how_many_were_rejected_for_which_reason() -> None:
    clean = np.repeat(CLEAN[:1], 4, axis=0)
    candidates = clean.astype(np.float64)
    candidates[0, 0, 0, 0] = np.nan
    candidates[1:3, 0, 0, 0] += 0.2
    told = admit(candidates, clean, Budget(Norm.LINF, 0.1)).tally
    assert told == {"rejected": 3, "rejected_not_finite": 1, "rejected_over_budget": 2}
    assert admit(clean, clean, Budget(Norm.LINF, 0.1)).tally == {"rejected": 0}


def moved(size: float, *, features: int = 1) -> np.ndarray:
    x = CLEAN[:1].astype(np.float64)
    x.reshape(1, -1)[0, :features] += size
    return x


# ── norms ──────────────────────────────────────────────────────────────────────────────────


def test_norms_by_hand() -> None:
    delta = np.array([[3.0, -4.0, 0.0], [0.0, 0.0, 1e-7]])
    assert distance(delta, Norm.LINF).tolist() == [4.0, 1e-7]
    assert distance(delta, Norm.L2) == pytest.approx([5.0, 1e-7])
    assert distance(delta, Norm.L1) == pytest.approx([7.0, 1e-7])
    assert distance(delta, Norm.L0).tolist() == [2.0, 0.0]


def test_a_pixel_with_all_its_channels_is_one_feature() -> None:
    delta = np.zeros((1, *SHAPE))
    delta[0, :, 1, 1] = 0.5
    delta[0, 0, 2, 2] = 0.5
    assert distance(delta, Norm.L0).tolist() == [2.0]


def test_a_patch_is_the_smallest_rectangle_around_all_that_changed() -> None:
    delta = np.zeros((3, *SHAPE))
    delta[0, 1, 0, 0] = delta[0, 2, 1, 2] = 0.5
    delta[1, 0, 3, 3] = -0.5
    assert distance(delta, Norm.PATCH).tolist() == [6 / 16, 1 / 16, 0.0]


def test_of_features_that_are_no_picture_a_patch_is_a_run() -> None:
    delta = np.zeros((1, 10))
    delta[0, [2, 5]] = 0.1
    assert distance(delta, Norm.PATCH).tolist() == [0.4]


def test_no_candidate_is_farther_than_the_farthest_corner() -> None:
    corner = (CLEAN < 0.5).astype(np.float32)
    for norm in (Norm.LINF, Norm.L2, Norm.L1):
        assert distance(corner.astype(np.float64) - CLEAN, norm) == pytest.approx(
            farthest(CLEAN, norm)
        )


@pytest.mark.parametrize(
    ("norm", "epsilon"), [("linf", 0.1), ("l2", 1.0), ("l1", 3.0), ("l0", 5), ("patch", 0.25)]
)
def test_noise_has_exactly_the_size_asked_for(norm: str, epsilon: float) -> None:
    delta = random_perturbation(
        (20, *SHAPE),
        norm=Norm(norm),
        epsilon=epsilon,
        stream=np.random.RandomState(1),
    )
    assert distance(delta, Norm(norm)) == pytest.approx(np.full(20, epsilon))


# ── admission ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("norm", "epsilon", "inside", "outside"),
    [
        (Norm.LINF, 0.1, moved(0.1 + 5e-7), moved(0.1 + 2e-6)),
        (Norm.L2, 0.2, moved(0.1, features=4), moved(0.1002, features=4)),
        (Norm.L1, 0.4, moved(0.1, features=4), moved(0.1002, features=4)),
        (Norm.L0, 3, moved(0.1, features=3), moved(0.1, features=4)),
        (Norm.PATCH, 0.25, moved(0.1, features=4), moved(0.1, features=5)),
    ],
)
def test_the_budget_binds(
    norm: Norm, epsilon: float, inside: np.ndarray, outside: np.ndarray
) -> None:
    budget = Budget(norm, epsilon)
    kept, lost = one(inside.astype(np.float32), budget), one(outside.astype(np.float32), budget)
    assert kept.rejections.tolist() == [""]
    assert (kept.x == inside.astype(np.float32)).all()
    assert lost.rejections.tolist() == ["over_budget"]
    assert (lost.x == CLEAN[:1]).all()


def test_l0_ignores_changes_that_are_mere_rounding() -> None:
    x = CLEAN[:1] + np.float32(2e-7)
    assert one(x, Budget(Norm.L0, 1)).rejections.tolist() == [""]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "not_finite"),
        (np.inf, "not_finite"),
        (-np.inf, "not_finite"),
        (1.0000002, "out_of_range"),
        (-1e-7, "out_of_range"),
    ],
)
def test_what_is_no_image_is_rejected(value: float, reason: str) -> None:
    x = CLEAN[:1].copy()
    x.reshape(-1)[3] = value
    admitted = one(x, Budget(Norm.LINF, 2.0))
    assert admitted.rejections.tolist() == [reason]
    assert (admitted.x == CLEAN[:1]).all()


def test_one_bad_row_does_not_cost_its_neighbour() -> None:
    x = CLEAN.copy()
    x[0] += 0.05
    x[1] = np.nan
    admitted = admit(x, CLEAN, Budget(Norm.LINF, 0.1))
    assert admitted.rejected.tolist() == [False, True]
    assert (admitted.x[0] == x[0]).all()


def test_an_immutable_feature_must_not_change() -> None:
    mutable = np.zeros(SHAPE, bool)
    mutable[:, 0, :] = True
    budget = Budget(Norm.LINF, 0.5, mutable=mutable)
    inside, outside = CLEAN[:1].copy(), CLEAN[:1].copy()
    inside[:, :, 0] += 0.1
    outside[:, :, 1] += 0.1
    assert one(inside, budget).rejections.tolist() == [""]
    assert one(outside, budget).rejections.tolist() == ["immutable_feature_changed"]


def test_an_add_only_feature_may_rise_and_never_fall() -> None:
    add_only = np.zeros(SHAPE, bool)
    add_only[:, 0, :] = True
    budget = Budget(Norm.LINF, 0.5, add_only=add_only)
    raised, lowered, elsewhere = (CLEAN[:1].copy() for _ in range(3))
    raised[:, :, 0] += 0.1
    lowered[:, :, 0] -= 0.1
    elsewhere[:, :, 1] -= 0.1
    assert one(raised, budget).rejections.tolist() == [""]
    assert one(elsewhere, budget).rejections.tolist() == [""]
    refused = one(lowered, budget)
    assert refused.rejections.tolist() == ["add_only_feature_lowered"]
    assert (refused.x == CLEAN[:1]).all()


def test_words_are_counted_and_half_a_word_is_none() -> None:
    mail = np.array([[1, 0, 0, 0, 0]], np.float32)
    budget = Budget(Norm.L0, 2, grid=2, add_only=np.ones(5, bool))
    two, three, half, fewer = (mail.copy() for _ in range(4))
    two[0, 1:3] = 1
    three[0, 1:4] = 1
    half[0, 1:] = 0.5
    fewer[0, 0] = 0
    admitted = admit(np.concatenate([two, three, half, fewer]), np.repeat(mail, 4, axis=0), budget)
    assert admitted.rejections.tolist() == ["", "over_budget", "", "add_only_feature_lowered"]
    assert (admitted.x[2] == mail[0]).all()


# ── the grid ───────────────────────────────────────────────────────────────────────────────


def test_a_grid_truncates_the_perturbation_toward_x() -> None:
    clean = np.array([[0.5, 0.5, 0.5, 0.0]], np.float32)
    candidate = np.array([[0.69, 0.31, 0.55, 0.1]], np.float32)
    admitted = admit(candidate, clean, Budget(Norm.LINF, 0.25, grid=11))
    assert admitted.x == pytest.approx(np.array([[0.6, 0.4, 0.5, 0.1]]))
    assert not admitted.rejected.any()


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, (3, 5), elements=st.floats(0, 1, width=32)),
    st.sampled_from([2, 16, 256]),
    st.sampled_from(MEASURED),
)
def test_no_norm_grows_on_the_grid(candidate: np.ndarray, grid: int, norm: Norm) -> None:
    clean = (np.random.default_rng(7).integers(0, grid, (3, 5)) / (grid - 1)).astype(np.float32)
    admitted = admit(candidate, clean, Budget(norm, None, grid=grid))
    before = distance(candidate.astype(np.float64) - clean, norm)
    after = distance(admitted.x.astype(np.float64) - clean, norm)
    assert (after <= before + 1e-2 / grid).all()
    steps = admitted.x.astype(np.float64) * (grid - 1)
    assert steps == pytest.approx(np.rint(steps), abs=1e-3)


@settings(max_examples=100, deadline=None)
@given(
    arrays(np.float32, (3, 5), elements=st.floats(width=32)),
    st.sampled_from(MEASURED),
    st.floats(0.01, 3),
)
def test_whatever_is_handed_in_what_is_judged_keeps_every_rule(
    candidate: np.ndarray, norm: Norm, epsilon: float
) -> None:
    clean = np.random.default_rng(8).uniform(0, 1, (3, 5)).astype(np.float32)
    admitted = admit(candidate, clean, Budget(norm, epsilon))
    assert np.isfinite(admitted.x).all()
    assert admitted.x.min() >= 0
    assert admitted.x.max() <= 1
    assert (distance(admitted.x.astype(np.float64) - clean, norm) <= epsilon + 1e-6).all()
    assert (admitted.x[admitted.rejected] == clean[admitted.rejected]).all()
