"""Secrets that are shown once and kept as hashes."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

TOKEN_PREFIX: Final = "adv_"  # noqa: S105 - lets scanners of repositories know a leaked token
SHOWN: Final = 10


def new_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()
