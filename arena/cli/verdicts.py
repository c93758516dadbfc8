"""A verdict as a table and as an exit status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from arena.cli.console import figure, percent, plain, say, table, warn
from arena.cli.exits import ExitCode

if TYPE_CHECKING:
    from arena.rounds import RoundSpec
    from arena.verdict import Verdict

SHARES: Final = {
    "clean_accuracy": "Clean accuracy",
    "robust_accuracy": "Robust accuracy",
    "attack_success_rate": "Attack success",
    "attack_success_rate_best": "Attack success, best target",
    "attack_success_rate_worst": "Attack success, every target",
    "corruption_accuracy": "Accuracy under every corruption",
    "mistake_confidence": "Confidence on mistakes",
    "blocked": "Spam blocked",
    "false_alarms": "Other mail blocked",
    "noise_success_rate": "Success of random noise",
    "clean_error": "Error, clean training",
    "poisoned_error": "Error, poisoned training",
    "delta_error": "Error added by the poison",
    "clean_error_over_time": "Error over time, clean stream",
    "poisoned_error_over_time": "Error over time, poisoned stream",
    "delta_error_over_time": "Error added over time",
    "poisoned_error_worst_seed": "Error, worst seed",
    "poisoned_accuracy": "Clean accuracy, poisoned training",
    "clean_drop": "Clean accuracy lost",
    "natural_success_rate": "Success on clean training",
    "certified_accuracy": "Certified accuracy",
    "wrong_again": "Made again",
    "fresh_error": "Error on fresh examples",
    "unprepared_error": "Error without the published set",
    "prepared_gain": "Gained by the published set",
    "clean_accuracy_unprepared": "Clean accuracy without it",
    "trend_kept": "Trends kept",
    "slope_left": "Slope left",
    "fidelity": "Fidelity of the copy",
    "surrogate_accuracy": "Accuracy of the copy",
    "oracle_accuracy": "Clean accuracy as the thief saw it",
    "uniform_fidelity": "Fidelity on uniform points",
    "uniform_constant": "Best constant on uniform points",
}
FIGURES: Final = {
    "median_words": "Median words to pass",
    "median_distance": "Median distance",
    "clean_value_loss": "Value-weighted loss, clean",
    "value_loss": "Value-weighted loss, attacked",
    "mean_distance": "Mean distance",
    "replay_loss": "Loss over the replays",
    "replays": "Replays",
    "proposals": "Inputs proposed",
    "published": "Examples published",
    "queries": "Queries",
    "claims": "Claims made",
    "claims_refuted": "Claims refuted",
    "median_radius": "Median certified radius",
    "queries_to_99": "Queries to 99 % fidelity",
    "fidelity_area": "Area under fidelity by log2 queries",
    "uniform_kappa": "Cohen's κ on uniform points",
    "median_queries": "Median queries to success",
    "rejected": "Candidates rejected",
    "rejected_not_finite": "Rejected: not finite",
    "rejected_out_of_range": "Rejected: outside [0, 1]",
    "rejected_immutable_feature_changed": "Rejected: changed what must stay",
    "rejected_add_only_feature_lowered": "Rejected: lowered what may only grow",
    "rejected_over_budget": "Rejected: over the budget",
    "repeatability": "Repeatability",
}
INTERVALS: Final = ("_low", "_high")
CURVE: Final = {
    "epsilon": "ε",
    "share": "Poisoned share",
    "seen": "Points seen",
    "queries": "Queries",
    "fidelity": "Fidelity",
    "surrogate_accuracy": "Copy's accuracy",
    "clean_accuracy": "Clean",
    "robust_accuracy": "Robust",
    "certified_accuracy": "Certified",
    "wrong_again": "Made again",
    "fresh_error": "Fresh error",
    "unprepared_error": "Unprepared",
    "trend_kept": "Kept",
    "slope_left": "Slope left",
    "corruption_accuracy": "All corruptions",
    "clean_drop": "Clean lost",
    "attack_success_rate": "Attack success",
    "noise_success_rate": "Random noise",
    "clean_error": "Clean error",
    "poisoned_error": "Poisoned error",
    "delta_error": "Δ error",
    "median_queries": "Median queries",
}
_PLAIN: Final = ("epsilon", "share", "seen", "queries", "median_queries")


def exit_of(verdict: Verdict) -> ExitCode:
    """A forfeit is a failed check; a pair that cannot meet is a question that makes no sense."""
    from arena.verdict import Status

    return {
        Status.SCORED: ExitCode.OK,
        Status.FORFEIT: ExitCode.FAILED,
        Status.NOT_APPLICABLE: ExitCode.USAGE,
        Status.VOID: ExitCode.OUR_FAULT,
    }[verdict.status]


def played(round_: RoundSpec) -> str:
    """What two players met in: ``Evasion on digits, patch 0.05.``, or ``... , poison 3, 10 %.``"""
    from arena.round_settings import uses
    from arena.rounds import Goal

    bound = ", ".join(f"{e:g}" for e in round_.epsilons)
    normed = uses(round_.game, "norm") and (bound or not uses(round_.game, "epsilons"))
    norm = f", {round_.norm.value} {bound}".rstrip() if normed else ""
    goal = "targeted " if round_.goal is Goal.TARGETED else ""
    game = f"{goal}{round_.game.value.replace('_', ' ')}".capitalize()
    shares = ", ".join(f"{100 * share:g}" for share in round_.shares)
    poison = f", poison {shares} %" if shares else ""
    return f"{game} on {round_.task}{norm}{poison}."


def print_verdict(verdict: Verdict, *, title: str, logs: bool) -> None:
    rows = list(_rows(verdict.metrics))
    if rows:
        table(("", "", "95 % interval"), rows, title=title)
    if len(verdict.curve) > 1:
        print_curve(verdict.curve)
    for flag in verdict.flags:
        say(f"Flag: {flag}")
    if verdict.fault is not None:
        side = verdict.fault.side.value if verdict.fault.side else "arena"
        warn(f"{_STATUS[verdict.status.value]} ({side}): {verdict.fault.sentence}")
    if logs:
        print_logs(verdict.logs)


_STATUS: Final = {
    "forfeit": "Forfeit",
    "not_applicable": "Not applicable",
    "void": "Void, our fault",
    "scored": "Scored",
}


def _rows(metrics: Mapping[str, float | None]) -> list[tuple[str, str, str]]:
    shares = [
        (title, percent(metrics[name]), _interval(metrics, name))
        for name, title in SHARES.items()
        if metrics.get(name) is not None
    ]
    figures = [
        (title, figure(metrics[name]), "")
        for name, title in FIGURES.items()
        if metrics.get(name) is not None
    ]
    return shares + figures


def _interval(metrics: Mapping[str, float | None], name: str) -> str:
    low, high = (metrics.get(name + end) for end in INTERVALS)
    return "" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def print_curve(curve: tuple[Mapping[str, float | None], ...]) -> None:
    names = [name for name in CURVE if any(point.get(name) is not None for point in curve)]
    rows = [[figure(p.get(n)) if n in _PLAIN else percent(p.get(n)) for n in names] for p in curve]
    table([CURVE[name] for name in names], rows)


def print_logs(logs: Mapping[str, str]) -> None:
    for side, text in logs.items():
        if text:
            say(f"--- log of the {plain(side)} ---")
            say(text)


def print_finding(found: Mapping[str, Any]) -> None:
    """What qualification measured."""
    if found:
        table(("Figure", "", "95 % interval"), findings(found))


def findings(found: Mapping[str, Any], *, above: str = "") -> Iterator[tuple[str, str, str]]:
    """(name, value, interval) for each figure, those of nested tables under their table's name."""
    for key, value in found.items():
        name = f"{above}{_word(key)}"
        if isinstance(value, Mapping):
            yield from findings(value, above=f"{name}: ")
        elif isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value, start=1):
                yield from findings(item, above=f"{name} {number}: ")
        elif not key.endswith(INTERVALS):
            yield name, _value(key, value), _interval(found, key) if key in SHARES else ""


def _word(key: str) -> str:
    from arena.qualification.words import word

    return SHARES.get(key) or FIGURES.get(key) or word(key)


def _value(key: str, value: object) -> str:
    from arena.qualification import words

    share = key in SHARES or key in words.SHARES
    return percent(value) if share and isinstance(value, float) else figure(value)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Without the bits of the examples, which ``--out`` writes."""
    data = verdict.to_json()
    data.pop("kills")
    return data
