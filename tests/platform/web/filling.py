"""What a browser sends for a tournament's form, and the form that the site makes of it."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict

from web.round_forms import RoundForm, round_formset
from web.round_presets import PRESETS, settle

HEAD = {
    "title": "Autumn",
    "slug": "autumn",
    "task": "digits",
    "split": "practice",
    "visibility": "public",
    "rounds-TOTAL_FORMS": "1",
    "rounds-INITIAL_FORMS": "1",
}
ROUND = {
    "title": "First",
    "game": "evasion",
    "preset": "white",
    "norm": "linf",
    "epsilons": "0.1, 0.2",
    "goal": "untargeted",
    "examples": "50",
}


def sent(*rounds: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a browser sends for these rounds."""
    fields = {f"rounds-{n}-{k}": v for n, r in enumerate(rounds) for k, v in r.items()}
    return {**HEAD, "rounds-TOTAL_FORMS": str(len(rounds)), **fields, **more}


def filled(preset: str, **changes: Any) -> dict[str, Any]:
    """A round whose switches stand as the page fills them for ``preset``, but for ``changes``."""
    return {**ROUND, "preset": preset, "filled": preset, **PRESETS[preset], **changes}


def query(data: dict[str, Any]) -> QueryDict:
    found = QueryDict(mutable=True)
    for key, value in data.items():
        found.setlist(key, value if isinstance(value, list) else [value])
    return found


def form_of(round_: dict[str, Any]) -> RoundForm:
    forms = round_formset(settle(query(sent(round_))))
    form: RoundForm = forms.forms[0]
    return form
