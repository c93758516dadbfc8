"""A verdict as a table and as an exit status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from arena.cli.console import figure, percent, plain, say, table, warn
from arena.cli.exits import ExitCode
from arena.metric_names import ENDS, NAMES, SHARES

if TYPE_CHECKING:
    from arena.rounds import RoundSpec
    from arena.verdict import Verdict

CURVE: Final = {
    "epsilon": "ε",
    "share": "Poisoned share",
    "seen": "Points seen",
    "queries": "Probes",
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
    "median_queries": "Median probes",
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
    """All that have a name, shares before numbers."""
    known = [name for name in NAMES if metrics.get(name) is not None]
    shares = [
        (NAMES[name], percent(metrics[name]), _interval(*(metrics.get(name + e) for e in ENDS)))
        for name in known
        if name in SHARES
    ]
    return shares + [
        (NAMES[name], figure(metrics[name]), "") for name in known if name not in SHARES
    ]


def _interval(low: float | None, high: float | None) -> str:
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


def findings(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(name, value, interval) for each figure, those of nested tables under their table's name."""
    from arena.qualification.words import flat

    for each in flat(found):
        share = each.is_share and isinstance(each.value, float)
        text = percent(each.value) if share else figure(each.value)
        yield each.name, text, _interval(each.low, each.high) if share else ""


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Without the bits of the examples, which ``--out`` writes."""
    data = verdict.to_json()
    data.pop("kills")
    return data
