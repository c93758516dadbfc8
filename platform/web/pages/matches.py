"""One match: verdict and blame, figures, curve, gallery, probes, provenance, logs, downloads."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from arena.errors import Side
from arena.rounds import GameName, Goal, Norm
from events import hints
from events.errors import NotThere
from tournaments import files, selectors, visibility
from tournaments.models import Match, Verdict
from tournaments.states import UNDER_WAY, MatchState
from tournaments.viewer import Viewer
from web import provenance
from web.answers import attachment, page
from web.figures import between, figures, headline_figures, percent
from web.findings import REMEDIES, found
from web.pages import series
from web.pages.outcomes import columns_of, copied, gallery, quantiles, survival, task_of
from web.pages.rows import arrays_of

CURVES: Final = (
    ("robust_accuracy", "Robust accuracy"),
    ("certified_accuracy", "Certified accuracy"),
    ("corruption_accuracy", "Accuracy under every corruption"),
    ("attack_success_rate", "Attack success"),
    ("noise_success_rate", "Random noise"),
    ("wrong_again", "Made again"),
    ("fresh_error", "Error on fresh examples"),
    ("trend_kept", "Trends kept"),
    ("slope_left", "Slope left"),
    ("unprepared_error", "Error without the published set"),
    ("poisoned_error", "Error, poisoned"),
    ("delta_error", "Error added"),
    ("fidelity", "Fidelity"),
    ("surrogate_accuracy", "Accuracy of the copy"),
)
AXES: Final = {
    "share": "Poisoned share",
    "seen": "Points seen",
    "epsilon": "Epsilon (ε)",
    "queries": "Probes",
}
"""What a curve runs over; the first that its points name."""
BEYOND: Final = {
    Norm.PATCH: "Area of the patch (share)",
    Norm.SPATIAL: "Rotation (degrees)",
    Norm.CORRUPTION: "Severity",
}
"""What ε is where it is no norm's."""
WORDS_AXIS: Final = {**AXES, "epsilon": "Words added"}


@never_cache
@page
def match(request: HttpRequest, uid: str) -> HttpResponse:
    found = selectors.get_match(request.user, uid)
    context = {
        "match": found,
        "organizes": selectors.organizes(request.user, found.tournament),
        "section": "tournaments",
        **_verdict(request, found),
    }
    return render(request, "web/match.html", context)


@never_cache
@page
def match_live(request: HttpRequest, uid: str) -> HttpResponse:
    """The whole finding: what waits becomes a verdict without a reload."""
    found = selectors.get_match(request.user, uid)
    return render(request, "web/parts/match_live.html", _verdict(request, found))


def _verdict(request: HttpRequest, match: Match) -> dict[str, Any]:
    verdict: Verdict | None = getattr(match, "verdict", None)
    context: dict[str, Any] = {
        "match": match,
        "verdict": verdict,
        "under_way": match.state in UNDER_WAY,
        "sentence": sentence(request, match, verdict),
    }
    if verdict is None:
        context["progress"] = hints.progress_of([match.uid]).get(match.uid)
        return context
    listed = figures(verdict.metrics)
    return context | {
        "figures": listed,
        "headlines": headline_figures(listed, priced=_priced(match)),
        "curve": curve(verdict),
        "corruptions": corruptions(verdict),
        "provenance": _provenance(request, match),
        "outcome_sha256": visibility.outcome_sha256(request.user, match),
        "remedy": _remedy(request, match, verdict),
        "logs": _logs(request, match),
        "awaited_logs": _awaited_logs(request, match),
        **_outcome(request, match),
    }


def _remedy(request: HttpRequest, match: Match, verdict: Verdict) -> str:
    """What usually causes its fault, for those who may read that side's log."""
    if not verdict.fault_side:
        return ""
    mends = visibility.may_see_match_log(request.user, match, Side(verdict.fault_side))
    return REMEDIES.get(verdict.fault_code, "") if mends else ""


def _priced(match: Match) -> bool:
    """Whether the task has a cost matrix, so that errors do not all cost the same."""
    task = task_of(match)
    return task is not None and task.cost is not None


def sentence(request: HttpRequest, match: Match, verdict: Verdict | None) -> str:
    """What was found, in one sentence."""
    viewer = Viewer.of(request.user)
    attack, defense = viewer.name_of(match.attack), viewer.name_of(match.defense)
    if match.state == MatchState.PENDING:
        return f"{attack} waits to play against {defense}."
    if match.state == MatchState.RUNNING:
        return f"{attack} plays against {defense} now."
    if match.state == MatchState.VOID and not selectors.organizes(request.user, match.tournament):
        return "It counts for nobody, and its organizers may have it played again."
    if verdict is None:
        return match.sentence or f"This match is {match.get_state_display().lower()}."
    if verdict.fault_side:
        loser = attack if verdict.fault_side == Side.ATTACK else defense
        fault = visibility.fault_sentence(request.user, match)
        return f"{loser} forfeits. {fault} The other side's row is untouched by it."
    targeted = match.round.spec.get("goal") == Goal.TARGETED.value
    return found(attack, defense, verdict.metrics, targeted=targeted)


def curve(verdict: Verdict) -> dict[str, Any] | None:
    """Points and the equal table; None for a single level."""
    points = [dict(point) for point in verdict.curve]
    if not points:
        return None
    axis = next((name for name in AXES if name in points[0]), "epsilon")
    label_of = WORDS_AXIS if points[0].get("blocked") is not None else AXES
    points = [point for point in points if point.get(axis) is not None]
    shown = [(key, label) for key, label in CURVES if any(p.get(key) is not None for p in points)]
    if not points or not shown:
        return None
    series = [
        {
            "name": label,
            "points": [[p[axis], p.get(key), p.get(f"{key}_low"), p.get(f"{key}_high")]
                       for p in points],
        }
        for key, label in shown
    ]  # fmt: skip
    rows = [(point[axis], [_with_interval(point, key) for key, _ in shown]) for point in points]
    name = label_of[axis]
    if axis == "epsilon":
        name = BEYOND.get(verdict.match.round.rules.norm, name)
    return {
        "axis": name,
        "columns": [label for _, label in shown],
        "rows": rows,
        "plot": {"axis": name, "series": series} if len(points) > 1 else None,
    }


def corruptions(verdict: Verdict) -> list[tuple[str, float]]:
    """(kind, accuracy), the most harmful first; empty in other rounds."""
    found = verdict.provenance.get("corruptions", {})
    return sorted(
        ((kind.replace("_", " "), a) for kind, a in found.items()), key=lambda row: row[1]
    )


def _with_interval(point: dict[str, Any], key: str) -> tuple[str, str]:
    interval = between(point.get(f"{key}_low"), point.get(f"{key}_high"))
    return percent(point.get(key)), interval


def _provenance(request: HttpRequest, match: Match) -> list[tuple[str, str]]:
    found = visibility.provenance(request.user, match)
    return provenance.told({key: value for key, value in found.items() if key != "corruptions"})


def _logs(request: HttpRequest, match: Match) -> list[tuple[str, str, str]]:
    """(side, name of the player, text) of the logs that this reader may see."""
    found, viewer = [], Viewer.of(request.user)
    for side, entry in ((Side.ATTACK, match.attack), (Side.DEFENSE, match.defense)):
        try:
            text = files.log_text(request.user, match, side)
            found.append((side.value, viewer.name_of(entry), text))
        except NotThere:
            continue
    return found


def _awaited_logs(request: HttpRequest, match: Match) -> list[str]:
    """Names of the reader's own players whose logs are kept until the round is published."""
    sides = ((Side.ATTACK, match.attack), (Side.DEFENSE, match.defense))
    return [
        entry.name
        for side, entry in sides
        if visibility.waits_for_match_log(request.user, match, side)
    ]


def _outcome(request: HttpRequest, match: Match) -> dict[str, Any]:
    wanted = request.GET.get("level", "")
    level = int(wanted) if wanted.isdecimal() and len(wanted) < 4 else None
    try:
        columns = columns_of(request.user, match)
        asked = survival(columns)
        return {
            "outcome": True,
            "gallery": gallery(request.user, match, level=level),
            "copied": copied(match, columns),
            "drawings": series.of_match(request.user, match, task_of(match)),
            **_pictured(request, match),
            "probes": None if asked is None else {
                "plot": {"examples": asked.examples, "points": asked.points},
                "rows": quantiles(asked),
            },
        }  # fmt: skip
    except NotThere:
        return {"outcome": False}


def _pictured(request: HttpRequest, match: Match) -> dict[str, Any]:
    """The first points of each kind as pictures; of other data, how much poison there is."""
    kinds = ("poison", "chosen", "triggered", "published", "fresh")
    points = {kind: _training_points(request, match, kind) for kind in kinds}
    task = task_of(match)
    if task is not None and not task.is_image:
        return {"poisoned_rows": points["poison"]}
    shown: dict[str, Any] = {kind: range(min(12, count)) for kind, count in points.items()}
    if shown["poison"]:
        labels = arrays_of(request.user, match).get("poison_y")
        known = [] if task is None or labels is None else [task.classes[int(y)] for y in labels]
        shown["poison"] = list(zip_longest(shown["poison"], known[:12], fillvalue=""))
    return shown


def _training_points(request: HttpRequest, match: Match, kind: str) -> int:
    round_ = match.round
    if not (round_.plays_poisoning or round_.game == GameName.ATTACKER_FIRST):
        return 0
    try:
        return len(arrays_of(request.user, match).get(kind, ()))
    except NotThere:
        return 0


# --- downloads ----------------------------------------------------------------------------------


@never_cache
@page
def outcome(request: HttpRequest, uid: str) -> HttpResponse:
    found = selectors.get_match(request.user, uid)
    content = files.outcome_path(request.user, found).read_bytes()
    return attachment(content, name=f"match-{uid}.parquet", kind="application/vnd.apache.parquet")


@never_cache
@page
def images(request: HttpRequest, uid: str) -> HttpResponse:
    found = selectors.get_match(request.user, uid)
    content = files.images_path(request.user, found).read_bytes()
    return attachment(content, name=f"match-{uid}.npz", kind="application/zip")


@never_cache
@page
def log(request: HttpRequest, uid: str, side: str) -> HttpResponse:
    if side not in (Side.ATTACK, Side.DEFENSE):
        raise NotThere("There is no such side.")
    found = selectors.get_match(request.user, uid)
    text = files.log_text(request.user, found, Side(side))
    return attachment(text.encode(), name=f"match-{uid}-{side}.log.txt", kind="text/plain")
