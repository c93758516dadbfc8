"""What an address may ask after its ``?``. A filter that is misspelt must not answer with all rows.

Each refusal is a problem whose ``errors`` name the parameter, as they name the fields of a body.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import django_filters
from django import forms
from django.core import validators
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from events.errors import NotThere


def refused(parameter: str, sentence: str) -> ValidationError:
    return ValidationError({parameter: [sentence]})


def check_names(
    request: Request,
    known: Iterable[str],
    *,
    repeatable: Iterable[str] = (),
    empty: Iterable[str] = (),
) -> None:
    """``repeatable`` may come several times, ``empty`` mean something without a value.

    Raises:
        ValidationError: parameters that the address does not have, given twice, or empty.
    """
    known, repeatable, empty = set(known), set(repeatable), set(empty)
    wrong = {}
    for name, values in request.query_params.lists():
        if name not in known:
            wrong[name] = [f"There is no such parameter here. {_those(known)}"]
        elif len(values) > 1 and name not in repeatable:
            wrong[name] = ["It is given more than once; give it once."]
        elif not all(values) and name not in empty:
            wrong[name] = ["It is empty; give a value, or leave it out."]
    if wrong:
        raise ValidationError(wrong)


def _those(known: set[str]) -> str:
    if not known:
        return "This address takes none; leave it out."
    return f"There are: {', '.join(sorted(known))}."


def named(request: Request, parameter: str) -> str:
    """An id or a slug from the query; empty where it is not given.

    Raises:
        NotThere: nothing can be called so (a NUL would be an error of the database).
    """
    text = request.query_params.get(parameter, "")
    if text and not validators.slug_re.match(text):
        raise NotThere(f"There is no such {parameter}.")
    return text


def number(request: Request, name: str, usual: int, *, least: int, most: int) -> int:
    """Decimal digits alone: ``int`` would take signs, spaces and other scripts' digits too."""
    text = request.query_params.get(name, str(usual))
    plain = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not plain or not least <= int(text) <= most:
        raise refused(name, f"It must be a whole number from {least} to {most}.")
    return int(text)


def whole(least: int, most: int, usual: int) -> dict[str, Any]:
    """How the description tells a parameter that ``number`` reads."""
    return {"type": "integer", "minimum": least, "maximum": most, "default": usual}


def one_of(request: Request, name: str, values: Sequence[str]) -> str | None:
    """None where it is not given."""
    given = request.query_params.get(name)
    if given is not None and given not in values:
        raise refused(name, must_be(values))
    return given


def must_be(values: Iterable[str]) -> str:
    *first, last = values
    return f"It must be {', '.join(first)} or {last}."


class Choice(django_filters.ChoiceFilter):  # type: ignore[misc]
    """Refuses other values by naming the right ones."""

    def __init__(self, *, choices: Sequence[tuple[str, str]], **more: Any) -> None:
        sentence = must_be(value for value, _ in choices)
        super().__init__(choices=choices, error_messages={"invalid_choice": sentence}, **more)


class Choices(django_filters.MultipleChoiceFilter):  # type: ignore[misc]
    """Any of them: the parameter may come several times."""

    def __init__(self, *, choices: Sequence[tuple[str, str]], **more: Any) -> None:
        sentence = must_be(value for value, _ in choices)
        super().__init__(choices=choices, error_messages={"invalid_choice": sentence}, **more)


class AsWritten(forms.TextInput):
    """Django's own widget makes None, which is no filter, of every word that it does not know."""


class TruthField(forms.NullBooleanField):
    widget = AsWritten

    def to_python(self, value: Any) -> bool | None:  # type: ignore[override] # None: not asked
        if value is None:
            return None
        if str(value).lower() not in ("true", "false"):
            raise forms.ValidationError(must_be(("true", "false")))
        return str(value).lower() == "true"


class Truth(django_filters.BooleanFilter):  # type: ignore[misc]
    field_class = TruthField
