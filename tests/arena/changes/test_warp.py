"""Turns and shifts, against what they must be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from arena.changes.warp import warped

X = np.random.default_rng(0).random((4, 2, 9, 9)).astype(np.float32)


def one(*move: float) -> np.ndarray:
    return warped(X[:1], np.array([move]))[0]


def test_no_move_changes_no_bit() -> None:
    assert warped(X, np.zeros((4, 3))).tobytes() == X.tobytes()


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_right_angles_turn_against_the_clock(degrees: float, turns: int) -> None:
    assert one(degrees, 0, 0) == pytest.approx(np.rot90(X[0], turns, axes=(1, 2)), abs=1e-6)


def test_whole_pixels_shift_right_and_down_and_leave_black() -> None:
    moved = one(0, 2, 1)
    assert (moved[:, 1:, 2:] == X[0, :, :-1, :-2]).all()
    assert not moved[:, :1].any()
    assert not moved[:, :, :2].any()


def test_half_a_pixel_is_the_mean_of_two() -> None:
    assert one(0, 0.5, 0)[:, :, 1:] == pytest.approx((X[0, :, :, 1:] + X[0, :, :, :-1]) / 2)


def test_a_turn_is_scipy_s_away_from_the_edge() -> None:
    """At the edge scipy calls a place outside that lies between the last pixel and black."""
    theirs = ndimage.rotate(X[0, 0], 25, reshape=False, order=1)
    assert one(25, 0, 0)[0, 3:-3, 3:-3] == pytest.approx(theirs[3:-3, 3:-3], abs=1e-6)


def test_a_row_hangs_on_itself_alone() -> None:
    moves = np.array([[10, 1, 0.5], [-20, 0, 1], [3, 3, 3], [0, 0, 0]])
    together = warped(X, moves)
    alone = [warped(X[i : i + 1], moves[i : i + 1])[0] for i in range(4)]
    assert (together == np.stack(alone)).all()


def test_what_is_shifted_out_is_gone() -> None:
    assert not one(0, 1e6, 0).any()
