"""Texts that every database can hold, and every page can show."""

from __future__ import annotations

from typing import Any


def storable(value: Any) -> Any:
    """The same JSON without zero bytes in its texts, which PostgreSQL holds in no column.

    A jail's log has none: it is spelled out there. Only a referee that was taken over could write
    one, and must not gain that its match is never recorded.
    """
    if isinstance(value, str):
        return value.replace("\0", "\\x00")
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def printable(text: str) -> str:
    """What a player printed, without control characters but for tabs and line ends."""
    return "".join(c if c in "\n\t" or c.isprintable() else "�" for c in text)
