"""A defense: clean accuracy, rows apart, gradients, claims, cost, determinism, its architecture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from arena import house
from arena.errors import ArenaError, FaultCode, PlayerError, Side
from arena.manifest import FILE_NAME, Framework, Manifest
from arena.packages import Package
from arena.qualification.check import (
    CLEAN_EXAMPLES,
    Array,
    Check,
    Rejected,
    clean_accuracy,
    differs,
    told_as_defense,
)
from arena.seats import DefenseSeat

PROBE_ROWS: Final = 32
CLAIMS: Final = 10
COST_FACTOR: Final = 20.0
COST_ALLOWANCE: Final = 2.0
"""Seconds for 256 rows that no machine's noise should turn into a rejection."""
NEAR_CHANCE: Final = 0.15


def check_defense(check: Check) -> str:
    x, y = check.examples(CLEAN_EXAMPLES)
    seeds = np.arange(len(x), dtype=np.uint64)
    check.report("Loading the defense in a jail.")
    seat = check.seat()
    try:
        check.report("Asking it about clean examples.")
        started = seat.seconds
        scores = seat.predict(x, seeds)
        forward = (seat.seconds - started) * 256 / len(x)
        clean_accuracy(check, scores, y)
        _rows_apart(seat, x, seeds, scores)
        check.report("Asking it for gradients.")
        backward = _gradients(check, seat, x[:PROBE_ROWS], y[:PROBE_ROWS], seeds[:PROBE_ROWS])
        _claims(check, seat, x[:CLAIMS], seeds[:CLAIMS])
    finally:
        check.log.append(seat.close())
    check.report("Comparing its cost with the reference model's.")
    _cost(check, forward, backward)
    check.report("Asking a second, fresh process the same.")
    _deterministic(check, x[:PROBE_ROWS], seeds[:PROBE_ROWS], scores[:PROBE_ROWS])
    check.report("Checking architecture and weights apart.")
    eligible, why = _grey(check, x, y, seeds, scores)
    check.figures |= {"grey_eligible": eligible, "grey_reason": why}
    return told_as_defense(check)


def _rows_apart(seat: DefenseSeat, x: Array, seeds: Array, scores: Array) -> None:
    """Row by row, and in another batch, the answers must be the same."""
    alone = np.concatenate([seat.predict(x[i : i + 1], seeds[i : i + 1]) for i in range(8)])
    if differs(seat.predict(x[:1], seeds[:1]), alone[:1]):
        raise PlayerError(
            Side.DEFENSE,
            FaultCode.NOT_DETERMINISTIC,
            "The same request got two different answers; keep no memory of earlier requests, and "
            "draw from the given seeds alone, with stochastic = true.",
        )
    order = np.arange(PROBE_ROWS)[::-1]
    turned = seat.predict(x[order], seeds[order])
    for again, first in ((alone, scores[:8]), (turned, scores[order])):
        if differs(again, first):
            raise PlayerError(
                Side.DEFENSE,
                FaultCode.ROWS_DEPEND,
                "Predictions depend on the other rows of a request; treat every row apart.",
            )


def _gradients(check: Check, seat: DefenseSeat, x: Array, y: Array, seeds: Array) -> float:
    """Seconds for 256 rows; 0 where none are declared."""
    check.figures["differentiable"] = check.manifest.differentiable
    if not check.manifest.differentiable:
        return 0.0
    started = seat.seconds
    _, slope = seat.gradient(x, y, seeds)
    check.figures["zero_gradients"] = float((np.abs(slope).reshape(len(x), -1).max(1) == 0).mean())
    return float(seat.seconds - started) * 256 / len(x)


def _claims(check: Check, seat: DefenseSeat, x: Array, seeds: Array) -> None:
    """A defense that certifies does so in every norm that it names, in the time of a request."""
    for norm in check.manifest.certifies:
        check.report(f"Asking it for certified radii in {norm}.")
        started = seat.seconds
        labels, radii = seat.certify(x, seeds, norm=norm, effort=1)
        check.figures[f"claims_{norm}"] = {
            "claimed_share": float(((labels >= 0) & (radii > 0)).mean()),
            "median_radius": float(np.median(radii)),
            "seconds_a_claim": float(seat.seconds - started) / len(x),
        }


def _cost(check: Check, forward: float, backward: float) -> None:
    """Forward and backward cost at most 20 times the task's reference model's."""
    check.figures |= {"seconds_forward_256": forward, "seconds_backward_256": backward or None}
    if max(forward, backward) <= COST_ALLOWANCE:
        return
    reference = _reference_seconds(check)
    if reference is None:
        return
    for name, seconds in (("forward", forward), ("backward", backward)):
        if seconds > max(COST_ALLOWANCE, COST_FACTOR * reference):
            raise Rejected(
                f"A {name} pass of 256 rows takes {seconds:.1f} s, more than "
                f"{COST_FACTOR:.0f} times the reference model's {reference:.2f} s; make it cheaper."
            )


def _reference_seconds(check: Check) -> float | None:
    try:
        package = house.package(house.REFERENCE, check.task.name)
    except ArenaError:
        return None
    x, _ = check.examples(256)
    with check.seat(package) as seat:
        seat.predict(x[:8], np.zeros(8, np.uint64))
        started = seat.seconds
        seat.predict(x, np.zeros(len(x), np.uint64))
        return (seat.seconds - started) * 256 / len(x)


def _deterministic(check: Check, x: Array, seeds: Array, scores: Array) -> None:
    with check.seat() as seat:
        again = seat.predict(x, seeds)
        other = seat.predict(x, seeds + np.uint64(1)) if check.manifest.stochastic else again
    if differs(again, scores):
        remedy = "draw from the given seeds alone" if check.manifest.stochastic else "seed it"
        raise PlayerError(
            Side.DEFENSE,
            FaultCode.NOT_DETERMINISTIC,
            f"The same input and seed gave another answer in a fresh process; {remedy}, or "
            "declare stochastic = true.",
        )
    check.figures["stochastic"] = check.manifest.stochastic
    if check.manifest.stochastic:
        check.figures["answers_change_with_seed"] = differs(other, again)


def _grey(check: Check, x: Array, y: Array, seeds: Array, scores: Array) -> tuple[bool, str]:
    """Grey-box rounds reveal the architecture alone; it must be one, and hold no weights."""
    manifest = check.manifest
    if not manifest.architecture:
        return False, "There is no architecture file."
    if manifest.framework is not Framework.TORCH:
        return True, "The architecture is a description without weights."
    if not manifest.weights:
        return False, "Architecture and weights are not separate files."
    try:
        if not _reproduces(check, x[:PROBE_ROWS], seeds[:PROBE_ROWS], scores[:PROBE_ROWS]):
            return False, "Architecture and weights alone do not reproduce the player."
        accuracy = _redrawn_accuracy(check, x, y, seeds)
    except PlayerError as error:
        return False, f"Architecture and weights cannot be loaded apart: {error}"
    check.figures["redrawn_accuracy"] = accuracy
    chance = float(np.bincount(y).max()) / len(y)
    if accuracy > chance + NEAR_CHANCE:
        return False, "Without its weights the architecture is still far above chance."
    return True, "Architecture and weights are separate and reproduce the player."


def _reproduces(check: Check, x: Array, seeds: Array, scores: Array) -> bool:
    """A player that wraps its model is held to the model's part: its labels on clean inputs."""
    if not check.manifest.entry:
        return True
    with check.seat(_plain(check.package, weights=True)) as seat:
        alone = seat.predict(x, seeds)
    columns = min(alone.shape[1], scores.shape[1])
    same = alone[:, :columns].argmax(axis=1) == scores[:, :columns].argmax(axis=1)
    check.figures["architecture_agrees"] = float(same.mean())
    return bool(same.mean() >= 0.9)


def _redrawn_accuracy(check: Check, x: Array, y: Array, seeds: Array) -> float:
    """Clean accuracy of the untrained builder."""
    with check.seat(_plain(check.package, weights=False)) as seat:
        scores = seat.predict(x, seeds)
    return float((scores[:, : len(check.task.classes)].argmax(axis=1) == y).mean())


def _plain(package: Package, *, weights: bool) -> Package:
    """Architecture (and weights) without the player's own code."""
    manifest = replace(
        package.manifest,
        entry="",
        weights=package.manifest.weights if weights else "",
        stochastic=False,
        abstains=False,
    )
    names = [manifest.architecture, *([manifest.weights] if weights else [])]
    return Package(manifest, {FILE_NAME: _toml(manifest)} | _files(package, names), package.sha256)


def _files(package: Package, names: Sequence[str]) -> dict[str, bytes]:
    return {name: package.files[name] for name in names}


def _toml(manifest: Manifest) -> bytes:
    lines = [
        "schema_version = 1",
        f"name = {json.dumps(manifest.name, ensure_ascii=True)}",
        f'role = "{manifest.role.value}"',
        f'framework = "{manifest.framework.value}"',
        f'output = "{manifest.output.value}"',
        f"architecture = {json.dumps(manifest.architecture)}",
        f"differentiable = {json.dumps(manifest.differentiable)}",
    ]
    if manifest.weights:
        lines.append(f"weights = {json.dumps(manifest.weights)}")
    return "\n".join(lines).encode()
