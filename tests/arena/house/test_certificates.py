"""House certificates: exact where they can be, and by the book where they sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

SEEDS = np.arange(40, dtype=np.uint64)


@pytest.fixture(scope="module")
def linear(direct: Any, digits: Any) -> Any:
    return direct.build("certified-linear", digits)


def nearest_rival(model: Any, x: Any, labels: Any, norm: str) -> tuple[Any, Any]:
    """For each input the direction of steepest change towards the rival that is nearest."""
    weights = model._weights()
    scores = model.predict(x).astype(np.float64)
    directions = []
    for i, label in enumerate(labels):
        slopes = np.delete(weights - weights[label], label, axis=0)
        margins = np.delete(scores[i, label] - scores[i], label)
        dual = {"linf": 1, "l2": 2, "l1": np.inf}[norm]
        k = (margins / np.linalg.norm(slopes, ord=dual, axis=1)).argmin()
        slope = slopes[k]
        if norm == "linf":
            unit = np.sign(slope)
        elif norm == "l2":
            unit = slope / np.linalg.norm(slope)
        else:
            unit = np.sign(slope) * (np.arange(len(slope)) == np.abs(slope).argmax())
        directions.append(unit.reshape(x.shape[1:]))
    return np.stack(directions), scores


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_linear_certificate_is_exact(linear: Any, digits: Any, norm: str) -> None:
    """Just inside the radius the label stays, just outside it goes; the box set aside."""
    x = digits.practice.x[:40]
    labels, radii = linear.certify(x, norm, effort=1, seeds=SEEDS)
    direction, _ = nearest_rival(linear, x, labels, norm)
    size = radii.reshape(-1, 1, 1, 1)
    for factor, stays in ((0.999, True), (1.001, False)):
        moved = (x + factor * (size + 2e-5) * direction).astype(np.float32)
        same = linear.predict(moved).argmax(axis=1) == labels
        assert (same == stays).mean() >= 0.95
    assert (radii > 0).all()


def test_no_l0_change_of_so_many_features_moves_a_linear_answer(linear: Any, digits: Any) -> None:
    """The features that matter most, set to whichever end helps the rival most."""
    x = digits.practice.x[:40]
    labels, radii = linear.certify(x, "l0", effort=1, seeds=SEEDS)
    weights = linear._weights()
    for i, label in enumerate(labels):
        flat = x[i].ravel()
        for rival in range(10):
            gains = np.maximum(
                (weights[rival] - weights[label]) * (1 - flat),
                (weights[label] - weights[rival]) * flat,
            )
            chosen = np.argsort(-gains)[: int(radii[i])]
            moved = flat.copy()
            moved[chosen] = (weights[rival] > weights[label])[chosen]
            answer = linear.predict(moved.reshape(1, *x.shape[1:]))
            assert answer.argmax() == label
    assert radii.max() >= 1


class Slab(torch.nn.Module):
    """One class on either side of a hyperplane: what noise does to it has a closed form."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = x.flatten(1)[:, 0] - 0.5
        return torch.stack([-value, value] + [value * 0 - 9] * 8, dim=1)


@pytest.fixture
def smoothing(direct: Any, digits: Any) -> Any:
    model = direct.build("certified-smoothing", digits)
    model.module = Slab()
    return model


def test_a_smoothed_radius_never_exceeds_the_true_distance_and_comes_near(
    smoothing: Any,
) -> None:
    """Behind a hyperplane at distance t, p = Φ(t / σ): the certified radius of all of p is t."""
    x = np.full((40, 1, 8, 8), 0.5, np.float32)
    x[:, 0, 0, 0] = np.linspace(0.6, 1.4, 40)
    labels, radii = smoothing.certify(x, "l2", effort=10, seeds=SEEDS)
    true = x[:, 0, 0, 0] - 0.5
    claimed = labels >= 0
    assert (labels[claimed] == 1).all()
    assert (radii <= true).mean() > 1 - 10 * 0.001
    far = true > 0.3
    assert (radii[far] >= 0.8 * true[far]).all()


def test_more_samples_claim_more_and_a_coin_toss_claims_nothing(smoothing: Any) -> None:
    x = np.full((40, 1, 8, 8), 0.5, np.float32)
    labels, radii = smoothing.certify(x, "l2", effort=1, seeds=SEEDS)
    assert (radii[labels < 0] == 0).all()
    assert (labels < 0).mean() > 0.9
    x[:, 0, 0, 0] = 3.0
    few = smoothing.certify(x[:1], "l2", effort=1, seeds=SEEDS[:1])[1]
    many = smoothing.certify(x[:1], "l2", effort=10, seeds=SEEDS[:1])[1]
    assert few < many
    bound = 0.001 ** (1 / 1000)  # Clopper-Pearson of 1,000 out of 1,000
    assert few[0] == pytest.approx(0.5 * torch.distributions.Normal(0, 1).icdf(torch.tensor(bound)))


def test_claims_and_votes_hang_on_the_rows_own_seed(smoothing: Any, digits: Any) -> None:
    x = digits.practice.x[:6]
    whole = smoothing.certify(x, "l2", effort=1, seeds=SEEDS[:6])
    alone = smoothing.certify(x[3:4], "l2", effort=1, seeds=SEEDS[3:4])
    assert (whole[0][3], whole[1][3]) == (alone[0][0], alone[1][0])
    votes = smoothing.predict(x, SEEDS[:6])
    assert votes.sum(axis=1) == pytest.approx(np.ones(6))
    assert np.array_equal(votes[3:4], smoothing.predict(x[3:4], SEEDS[3:4]))
