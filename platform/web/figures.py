"""Numbers as pages show them: which, in what order, under what name, with what interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from arena.evidence import NOTES, REFUTED
from arena.metric_names import NAMES, SHARES
from arena.qualification import words
from leaderboard.models import Board, Standing

SHARE, NUMBER = "share", "number"
DISTANCES: Final = frozenset(("median_distance", "mean_distance"))


@dataclass(frozen=True)
class Kind:
    """A metric of a verdict: its name in the record, and how it is written."""

    key: str
    term: str = ""
    hint: str = ""

    @property
    def label(self) -> str:
        return NAMES[self.key]

    @property
    def form(self) -> str:
        return SHARE if self.key in SHARES else NUMBER


TERMS: Final[Mapping[str, str]] = {
    "clean_accuracy": "clean-accuracy",
    "robust_accuracy": "robust-accuracy",
    "attack_success_rate": "attack-success",
    "corruption_accuracy": "corruption",
    "certified_accuracy": "certified",
    "wrong_again": "replay",
    "queries": "probe",
    "clean_value_loss": "cost",
    "value_loss": "cost",
}
"""The glossary's entry for a metric."""
HINTS: Final[Mapping[str, str]] = {
    "attack_success_rate_best": "any of the targets counts",
    "attack_success_rate_worst": "all of the targets must fall",
    "blocked": "of what attackers own, as it is",
    "false_alarms": "right to pass, and blocked",
    "median_words": "over blocked spam; misses count",
    "noise_success_rate": "as much of it",
    "corruption_accuracy": "mean over all kinds and the round's severities; no attack chooses",
    "delta_error_over_time": "mean over the batches",
    "delta_error": "poisoned minus clean, seeds paired",
    "chosen_points": "each with a poison of its own",
    "certified_gap": "robust minus certified accuracy",
    "claims_refuted": "by an example within the radius",
    "claim_alpha": "as declared",
    "wrong_again": "wrong answers among the replays",
    "replay_loss": "N times the chance of one",
    "fresh_error": "trained on what was published",
    "unprepared_error": "same learner, same seeds",
    "prepared_gain": "paired over seeds",
    "trend_kept": "told when clean, and still there after the change",
    "slope_left": "mean over series, cut off at 0 and 1",
    "fidelity": "agrees with the original on judged examples",
    "oracle_accuracy": "must meet the floor",
    "fidelity_area": "mean height over log2 of probes",
    "uniform_kappa": "agreement beyond chance",
    "clean_drop": "clean minus poisoned training, seeds paired",
    "natural_success_rate": "what comes by itself",
    "robust_accuracy_any": "not broken by any of the repeats",
    "median_distance": "to the nearest success found",
    "mean_distance": "a miss counts as the farthest change",
    "median_queries": "misses censored",
    "confidence_auroc": "AUROC",
    "slopes": "a step along each, and what two fresh processes say of it",
    "transfer_ratio": "how many times as often",
    "rejected": "never clipped; no kill",
    "rejected_not_finite": "NaN or infinite values",
    "rejected_out_of_range": "or a move unknown",
    "rejected_over_budget": "beyond ε + 0.000001",
    "examples": "examples or series",
}
"""A word beside a metric's name, where that alone would not tell."""
METRICS: Final = tuple(Kind(key, TERMS.get(key, ""), HINTS.get(key, "")) for key in NAMES)
HEADLINES: Final = ("clean_accuracy", "wrong_again", "replay_loss",
                    "fresh_error", "unprepared_error", "prepared_gain",
                    "trend_kept", "slope_left",
                    "certified_accuracy", "robust_accuracy",
                    "attack_success_rate", "corruption_accuracy", "poisoned_error_over_time",
                    "delta_error_over_time", "clean_error",
                    "poisoned_error", "delta_error", "fidelity", "surrogate_accuracy",
                    "uniform_kappa")  # fmt: skip


MEANS: Final = (
    "robust_mean",
    "poisoned_error_mean",
    "stolen_fidelity_mean",
    "certified_accuracy_mean",
    "triggered_mean",
    "chosen_points_lost_mean",
    "poisoned_error_over_time_mean",
    "repeated_mean",
    "worst_fresh_error_mean",
    "trends_kept_mean",
    "median_distance_mean",
)
"""The mean over attacks, by kind of board."""


def percent(value: float | None, digits: int = 1) -> str:
    """``61.5 %``; a dash where nothing is known."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:z.{digits}f} %".replace("-", "−")


def number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.3g}"


def written(value: float | None, form: str) -> str:
    return percent(value) if form == SHARE else number(value)


def between(low: float | None, high: float | None, form: str = SHARE, *, digits: int = 0) -> str:
    """An interval, ``58 – 64 %``, which breaks before no sign; nothing where there is none."""
    if low is None or high is None:
        return ""
    if form == SHARE:
        return f"{100 * low:z.{digits}f} – {100 * high:z.{digits}f}\xa0%".replace("-", "−")
    return f"{number(low)} – {number(high)}"


@dataclass(frozen=True)
class Figure:
    """One line of a table of figures."""

    kind: Kind
    value: float | None
    low: float | None
    high: float | None

    @property
    def text(self) -> str:
        return written(self.value, self.kind.form)

    @property
    def interval(self) -> str:
        return between(self.low, self.high, self.kind.form, digits=1)


def figures(metrics: Mapping[str, Any]) -> list[Figure]:
    """The metrics that a verdict holds, in the order of ``METRICS``."""
    return [
        Figure(
            kind, _real(metrics[kind.key]), _real(metrics.get(f"{kind.key}_low")),
            _real(metrics.get(f"{kind.key}_high")),
        )
        for kind in METRICS
        if metrics.get(kind.key) is not None
    ]  # fmt: skip


def headline_figures(listed: Iterable[Figure], *, priced: bool = False) -> list[Figure]:
    """``priced``: mistakes cost what the task's cost matrix says, so the loss is told as well."""
    shown = list(listed)
    keys: tuple[str, ...] = (*HEADLINES, "value_loss") if priced else HEADLINES
    if any(figure.kind.key == "mean_distance" for figure in shown):
        keys = ("clean_accuracy", "attack_success_rate", *DISTANCES)  # what the round ranks by
    return [figure for figure in shown if figure.kind.key in keys][:4]


def _real(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


# --- qualification ---------------------------------------------------------------------------


def plain_figures(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, text) for whatever qualification measured, nested tables flattened."""
    return [(figure.name, _plain(figure)) for figure in words.flat(found)]


def _plain(figure: words.Measured) -> str:
    value = figure.value
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and figure.is_share:
        return percent(value)
    if isinstance(value, int | float):
        return number(value)
    return str(value)[:200]


# --- boards ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoardRow:
    """A standing with all that its row shows."""

    standing: Standing
    form: str
    most: float
    """What a full bar stands for."""

    @property
    def rank(self) -> str:
        """``2``, ``2–4`` or a dash."""
        row = self.standing
        if row.rank is None:
            return "–"
        if row.rank_high and row.rank_high != row.rank:
            return f"{row.rank}–{row.rank_high}"
        return str(row.rank)

    @property
    def text(self) -> str:
        return written(self.standing.headline, self.form)

    @property
    def interval(self) -> str:
        return between(self.standing.interval_low, self.standing.interval_high, self.form)

    def _at(self, value: float | None) -> str:
        share = 0.0 if value is None or not self.most else value / self.most
        return f"{100 * min(max(share, 0.0), 1.0):.1f}"

    @property
    def bar(self) -> dict[str, str]:
        """SVG attributes on a track of 100."""
        row = self.standing
        low, high = self._at(row.interval_low), self._at(row.interval_high)
        return {"value": self._at(row.headline), "low": low, "high": high,
                "span": f"{float(high) - float(low):.1f}"}  # fmt: skip

    @property
    def has_interval(self) -> bool:
        return self.standing.interval_low is not None and self.standing.interval_high is not None

    @property
    def unique_kills(self) -> int | None:
        """None in games whose boards count none."""
        value: int | None = self.standing.metrics.get("unique_kills")
        return value

    @property
    def on_house(self) -> float | None:
        metrics = self.standing.metrics
        return next((_real(metrics[k]) for k in metrics if k.endswith("_on_house")), None)

    @property
    def symptoms(self) -> list[str]:
        """Evidence of masked gradients, in sentences."""
        return [f["sentence"] for f in self.standing.flags if f["code"] not in NOTES | REFUTED]

    @property
    def refuted(self) -> list[str]:
        """Claims that do not hold."""
        return [f["sentence"] for f in self.standing.flags if f["code"] in REFUTED]

    @property
    def notes(self) -> list[str]:
        """What informs and accuses nobody."""
        return [f["sentence"] for f in self.standing.flags if f["code"] in NOTES]

    @property
    def mean(self) -> float | None:
        """Over attacks."""
        metrics = self.standing.metrics
        return next((_real(metrics[key]) for key in MEANS if metrics.get(key) is not None), None)


def board_rows(board: Board, rows: Iterable[Standing]) -> list[BoardRow]:
    listed = list(rows)
    form = NUMBER if board.headline in DISTANCES else SHARE
    most = 1.0
    if form == NUMBER:
        known = [r.interval_high or r.headline or 0.0 for r in listed]
        most = max([*known, 1e-9])
    return [BoardRow(row, form, most) for row in listed]


# --- matrix ----------------------------------------------------------------------------------


def heat(success: float | None) -> str:
    """The colour class of a cell, from 0 (held) to 10 (all broken)."""
    if success is None:
        return "heat-none"
    return f"heat-{round(10 * min(max(success, 0.0), 1.0))}"
