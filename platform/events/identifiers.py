"""Opaque ids: what pages, files and the API call a row; they tell nothing of how many there are."""

from __future__ import annotations

import secrets
from typing import Final

ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"  # none that is read for another
LENGTH: Final = 12


def opaque_id() -> str:
    """59 random bits; the unique constraint of the column refuses the rest."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
