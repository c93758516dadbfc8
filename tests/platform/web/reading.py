"""Browsers, and what they read on a page."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.test import Client

from accounts.models import User

Browser = Callable[[User | None], Client]


def text_of(response: object) -> str:
    return response.content.decode()  # type: ignore[attr-defined, no-any-return]


def words_of(response: object) -> str:
    """The same without tags and line ends."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text_of(response)))
