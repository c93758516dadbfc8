"""One cell of the attack x defense matrix: its figures, for the tier it was played in."""

from __future__ import annotations

from typing import Any

from arena.ranking.attacker_first import fresh_error
from arena.ranking.attacks import QUERIES, kills_of
from arena.ranking.backdoor import triggered
from arena.ranking.defenses import as_json, lower_median
from arena.ranking.extraction import seen_accuracy, stolen_fidelity
from arena.ranking.nesting import distance_bound
from arena.ranking.online_poisoning import added_over_time, error_over_time
from arena.ranking.poisoning import clean_error, delta_error, poisoned_error
from arena.ranking.records import CellResult, Tier, finite_or_none
from arena.ranking.replay import wrong_again
from arena.ranking.single_figure import metric
from arena.ranking.statistics import wilson
from arena.ranking.trend_poisoning import trend_kept
from arena.rounds import GameName


def cell_figures(cell: CellResult, tier: Tier) -> dict[str, Any]:
    """``success`` and ``robust`` (None where unknown), and what goes beside them.

    Backdoor and targeted poisoning: ``success`` is the target's share, ``robust`` what is right in
    spite of the poison. Online poisoning: the error added over time, and accuracy over time.
    Poisoning: ``success`` is Δerror, ``robust`` accuracy after poisoning. Extraction: ``success``
    is fidelity, ``robust`` the share of examples on which copy and original differ. Replay:
    ``success`` is P(wrong again), ``robust`` the rest. Attacker first: ``success`` is the error on
    fresh examples, ``robust`` accuracy there. Trends: ``success`` is the share removed of those
    that were right, ``robust`` the share of all that was kept.
    """
    if not cell.met:
        return {"success": None, "robust": None}
    if tier.spec.game is GameName.POISONING:
        return _poisoning(cell)
    if tier.spec.game in (GameName.BACKDOOR, GameName.TARGETED_POISONING):
        return _backdoor(cell)
    if tier.spec.game is GameName.ONLINE_POISONING:
        return _online(cell)
    if tier.spec.game is GameName.EXTRACTION:
        return _extraction(cell)
    if tier.spec.game is GameName.REPLAY:
        return _replay(cell)
    if tier.spec.game is GameName.ATTACKER_FIRST:
        return _fresh(cell)
    if tier.spec.game is GameName.TREND_POISONING:
        return _trend(cell)
    return _perturbation(cell, tier)


def _poisoning(cell: CellResult) -> dict[str, Any]:
    error, clean = poisoned_error(cell), clean_error(cell)
    return {
        "success": None if cell.forfeited_by_defense else delta_error(cell),
        "robust": None if error is None else 1 - error,
        "clean": None if clean is None else 1 - clean,
    }


def _backdoor(cell: CellResult) -> dict[str, Any]:
    rate = triggered(cell)
    return {
        "success": None if cell.forfeited_by_defense else rate,
        "robust": 0.0 if cell.forfeited_by_defense else metric(cell, "robust_accuracy"),
        "clean": metric(cell, "poisoned_accuracy"),
        "clean_drop": metric(cell, "clean_drop"),
    }


def _online(cell: CellResult) -> dict[str, Any]:
    error, clean = error_over_time(cell), metric(cell, "clean_accuracy")
    return {
        "success": None if cell.forfeited_by_defense else added_over_time(cell),
        "robust": None if error is None else 1 - error,
        "clean": clean,
    }


def _extraction(cell: CellResult) -> dict[str, Any]:
    fidelity = stolen_fidelity(cell)
    return {
        "success": None if cell.forfeited_by_defense else fidelity,
        "robust": None if fidelity is None else 1 - fidelity,
        "clean": seen_accuracy(cell),
        "queries": finite_or_none(cell.metrics.get("queries")),
        "queries_to_99": finite_or_none(cell.metrics.get("queries_to_99")),
    }


def _replay(cell: CellResult) -> dict[str, Any]:
    again = wrong_again(cell)
    return {
        "success": None if cell.forfeited_by_defense else again,
        "robust": None if again is None else 1 - again,
        "clean": metric(cell, "clean_accuracy"),
        "queries": finite_or_none(cell.metrics.get(QUERIES)),
    }


def _fresh(cell: CellResult) -> dict[str, Any]:
    error = fresh_error(cell)
    return {
        "success": None if cell.forfeited_by_defense else error,
        "robust": None if error is None else 1 - error,
        "clean": metric(cell, "clean_accuracy"),
        "queries": finite_or_none(cell.metrics.get("queries")),
    }


def _trend(cell: CellResult) -> dict[str, Any]:
    return {
        "success": None
        if cell.forfeited_by_defense
        else metric(cell, "attack_success_rate") or 0.0,
        "robust": trend_kept(cell),
        "clean": metric(cell, "clean_accuracy"),
        "slope_left": metric(cell, "slope_left"),
    }


def _perturbation(cell: CellResult, tier: Tier) -> dict[str, Any]:
    kills = cell.kills
    if kills is None:
        gave_no_answer = cell.forfeited_by_defense
        return {
            "success": None if gave_no_answer else 0.0,
            "robust": 0.0 if gave_no_answer else None,
        }
    told = finite_or_none(cell.metrics.get("certified_accuracy"))
    certified = {} if told is None else {"certified": told}
    n, right = len(kills.examples), int(kills.clean_right.sum())
    broken, at_stake = int(kills_of(cell, tier.headline_epsilon).sum()), int(kills.at_stake.sum())
    return {
        "success": broken / at_stake if at_stake else None,
        "success_wilson": as_json(wilson(broken, at_stake)) if at_stake else None,
        "robust": (right - broken) / n if n else None,
        "robust_wilson": as_json(wilson(right - broken, n)) if n else None,
        **certified,
        "clean": right / n if n else None,
        "examples": n,
        "queries": finite_or_none(cell.metrics.get(QUERIES)),
        "median_distance": finite_or_none(lower_median(distance_bound(kills)[kills.at_stake])),
    }
