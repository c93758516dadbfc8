"""Browsers, and what they read on a page."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from accounts.models import User

Browser = Callable[[User | None], Client]


def text_of(response: object) -> str:
    return response.content.decode()  # type: ignore[attr-defined, no-any-return]
