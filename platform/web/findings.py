"""What a scored match found, in one sentence: one function a kind of round."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from arena.errors import FaultCode
from tournaments.visibility import FAULT_SENTENCES
from web.figures import percent

Metrics = Mapping[str, Any]
Sentence = Callable[[str, str, Metrics], str]
"""(name of the attack, name of the defense, metrics)"""


FLAGS: Final = {
    "certificate_broken": "Its certificate is broken: so many of its claims were refuted that its "
    "certified accuracy is 0.",
    "claims_refuted": "Some claims were refuted, no more than the α that it declares explains.",
    "abstains_too_often": "It abstained more often than the task allows: abstentions counted as "
    "wrong.",
    "changed_output_for_same_seed": "The defense answered one request differently under the same "
    "seed.",
    "rows_depend_on_each_other": "The defense answered some rows differently in other company.",
    "training_not_repeatable": "The learner makes another model each time it is trained with the "
    "same data and seed.",
}
"""What a verdict's flags say, which are no faults (docs/rules.md)."""


ALSO: Final = re.compile(r"also_(attack|defense)_(\w+)")
"""A verdict names one fault; this flag the other side's."""


def flag_sentence(flag: str) -> str:
    """What a verdict's flag says; the flag itself where a newer arena has set it."""
    also = ALSO.fullmatch(flag)
    if also is None:
        return FLAGS.get(flag, flag)
    side, code = also.groups()
    told = FAULT_SENTENCES.get(code, "The player broke a rule.")
    return f"The {side} failed as well: {told[0].lower()}{told[1:]}"


REMEDIES: Final[dict[str, str]] = {
    FaultCode.LOAD_FAILED: "an import that is not in the list, a path that is not relative to "
    "self.package, weights that do not fit",
    FaultCode.CRASHED: "an exception: the last lines of your log",
    FaultCode.WALL_TIME: "no eye on the clock: hand in early with challenge.submit",
    FaultCode.CPU_TIME: "no eye on the clock: hand in early with challenge.submit",
    FaultCode.OUT_OF_MEMORY: "everything at once: process in batches",
    FaultCode.QUERY_LATENCY: "a defense that needs too long for 256 rows",
    FaultCode.WRONG_SHAPE: "another array than asked for: predict gives (n, classes), "
    "attack gives challenge.x.shape",
    FaultCode.NOT_FINITE: "a logarithm of 0, a division by 0",
    FaultCode.OUT_OF_RANGE: "probes outside [0, 1], or probabilities that do not sum to 1",
    FaultCode.QUERIES_EXCEEDED: "QueryBudgetExceeded was not caught: look at probes_left first",
    FaultCode.ROWS_DEPEND: "batch statistics, a detector with a memory, a mean over the request",
    FaultCode.NOT_DETERMINISTIC: "random numbers that do not come from seeds, or answers that "
    "hang on what was asked before",
    FaultCode.BAD_SURROGATE: "steal returned no Surrogate, or files that are no package of a "
    "defense",
    FaultCode.POISON_BUDGET: "more than challenge.count points, or points outside [0, 1]",
    FaultCode.PROTOCOL: "something wrote to the referee's socket, or the process ended",
    FaultCode.NO_ANSWER: "something wrote to the referee's socket, or the process ended",
}
"""The usual reason of a fault, for the side that has to mend it (docs/writing-a-submission.md)."""


def found(attack: str, defense: str, metrics: Metrics, *, targeted: bool = False) -> str:
    """The first sentence whose figure the verdict has."""
    for key, sentence in SENTENCES:
        if metrics.get(key) is not None:
            told = _reached if targeted and sentence is _broken else sentence
            return told(attack, defense, metrics)
    return f"{attack} played against {defense}."


def _points(share: float | None) -> str:
    """A difference of shares, without its sign: ``1.5 points``."""
    return "–" if share is None else f"{abs(100 * share):.1f} points"


def _lost(share: float | None) -> str:
    return f"{'gained' if (share or 0.0) < 0 else 'lost'} {_points(share)}"


def _added(share: float) -> str:
    return f"took {_points(share)} from" if share < 0 else f"added {_points(share)} to"


def _poisoned(attack: str, defense: str, metrics: Metrics) -> str:
    added, error = _added(metrics["delta_error"]), percent(metrics.get("poisoned_error"))
    return f"{attack} {added} the error of {defense}, which is {error} after poisoning."


def _poisoned_stream(attack: str, defense: str, metrics: Metrics) -> str:
    added = _added(metrics["delta_error_over_time"])
    error = percent(metrics.get("poisoned_error_over_time"))
    return (
        f"{attack} {added} the error over time of {defense}, which is {error} on the "
        "poisoned stream."
    )


def _chosen(attack: str, defense: str, metrics: Metrics) -> str:
    won, lost = percent(metrics.get("attack_success_rate")), _lost(metrics.get("clean_drop"))
    return (
        f"{attack} won {won} of {metrics['chosen_points']:,.0f} chosen points from {defense}, "
        f"which {lost} on the others."
    )


def _triggered(attack: str, defense: str, metrics: Metrics) -> str:
    hit, lost = percent(metrics.get("attack_success_rate")), _lost(metrics["clean_drop"])
    return f"The trigger of {attack} reaches its target on {hit}; {defense} {lost} on clean inputs."


def _stolen(attack: str, defense: str, metrics: Metrics) -> str:
    asked, copied = metrics.get("queries") or 0, percent(metrics["fidelity"])
    return f"After {asked:,.0f} probes the copy of {attack} agrees with {defense} on {copied}."


def _moved_first(attack: str, defense: str, metrics: Metrics) -> str:
    fresh, before = percent(metrics["fresh_error"]), percent(metrics.get("unprepared_error"))
    return (
        f"{attack} moved first and published {metrics.get('published') or 0:,.0f} examples; "
        f"{defense}, trained on them, is wrong on {fresh} of fresh ones, and on {before} "
        "without them."
    )


def _replayed(attack: str, defense: str, metrics: Metrics) -> str:
    loss, replays = metrics.get("replay_loss") or 0, metrics.get("replays") or 0
    proposed = metrics.get("proposals") or 0
    inputs = "one input" if proposed == 1 else f"{proposed:,.0f} inputs"
    return (
        f"{attack} proposed {inputs}; {defense} answered {loss:,.0f} of {replays:,.0f} "
        "replays wrong."
    )


def _certified(attack: str, defense: str, metrics: Metrics) -> str:
    if metrics.get("certificate_broken"):
        return (
            f"{attack} refuted {metrics.get('claims_refuted', 0):,.0f} of "
            f"{metrics.get('claims', 0):,.0f} claims of {defense}: its certificate is broken."
        )
    proved, held = percent(metrics["certified_accuracy"]), percent(metrics["robust_accuracy"])
    return f"{defense} certified {proved}; against {attack} {held} stayed right."


def _padded(attack: str, defense: str, metrics: Metrics) -> str:
    passed, words = percent(metrics.get("attack_success_rate")), metrics.get("epsilon") or 0
    told = (
        f"With at most {words:,.0f} words {attack} got {passed} of the spam past {defense} that it "
        "blocks."
    )
    median = metrics.get("median_words")
    return told if median is None else f"{told} The median mail took {median:,.0f} words."


def _levelled(attack: str, defense: str, metrics: Metrics) -> str:
    removed, left = percent(metrics.get("attack_success_rate")), percent(metrics.get("slope_left"))
    return (
        f"{attack} removed {removed} of the trends that {defense} told; {left} of their slope is "
        "left."
    )


def _broken(attack: str, defense: str, metrics: Metrics) -> str:
    success, robust = metrics["attack_success_rate"], metrics.get("robust_accuracy")
    return (
        f"{attack} broke {percent(success)} of what {defense} had right; "
        f"{percent(robust)} of all examples stayed right."
    )


def _reached(attack: str, defense: str, metrics: Metrics) -> str:
    """Targeted: another mistake than the one that was set breaks nothing."""
    success, robust = metrics["attack_success_rate"], metrics.get("robust_accuracy")
    return (
        f"{attack} reached the target on {percent(success)} of what {defense} had right. The rest, "
        f"{percent(robust)} of all examples, counts as robust, also where the answer was wrong."
    )


def _distant(attack: str, defense: str, metrics: Metrics) -> str:
    far, broken = metrics.get("median_distance"), percent(metrics.get("attack_success_rate"))
    distance = "" if far is None else f", at a median distance of {far:.3g}"
    return f"{attack} broke {broken} of what {defense} had right{distance}."


SENTENCES: Final[tuple[tuple[str, Sentence], ...]] = (
    ("trend_kept", _levelled),
    ("delta_error_over_time", _poisoned_stream),
    ("chosen_points", _chosen),
    ("delta_error", _poisoned),
    ("clean_drop", _triggered),
    ("fidelity", _stolen),
    ("fresh_error", _moved_first),
    ("wrong_again", _replayed),
    ("certified_accuracy", _certified),
    ("mean_distance", _distant),
    ("blocked", _padded),
    ("attack_success_rate", _broken),
)
"""A figure that only some kinds of round have, and what is said where it is there."""
