"""Settings from the environment: each from ``NAME``, or from the file ``NAME_FILE`` names."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from django.core.exceptions import ImproperlyConfigured

PREFIX: Final = "ADVERSARIUM_"
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off", "")


def text(name: str, default: str = "") -> str:
    """``ADVERSARIUM_<name>``, or the content of the file that ``ADVERSARIUM_<name>_FILE`` names."""
    file = os.environ.get(f"{PREFIX}{name}_FILE")
    if not file:
        return os.environ.get(f"{PREFIX}{name}", default).strip()
    if f"{PREFIX}{name}" in os.environ:
        raise ImproperlyConfigured(f"Set {PREFIX}{name} or {PREFIX}{name}_FILE, not both.")
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        message = f"{PREFIX}{name}_FILE names {file}, which cannot be read: {error.strerror}."
        raise ImproperlyConfigured(message) from error


def choice(name: str, known: tuple[str, ...], default: str) -> str:
    value = text(name, default)
    if value not in known:
        message = f"{PREFIX}{name} is {value!r}; it must be one of {', '.join(known)}."
        raise ImproperlyConfigured(message)
    return value


def flag(name: str, *, default: bool = False) -> bool:
    value = text(name, str(default)).lower()
    if value not in _TRUE + _FALSE:
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be true or false.")
    return value in _TRUE


def number(name: str, default: int) -> int:
    value = text(name, str(default))
    try:
        return int(value)
    except ValueError as error:
        message = f"{PREFIX}{name} is {value!r}; it must be a whole number."
        raise ImproperlyConfigured(message) from error


def words(name: str, default: str = "") -> list[str]:
    """A list, separated by commas."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def installed(module: str) -> bool:
    """Whether a module of ours is there, without importing it."""
    package = module.partition(".")[0]
    return find_spec(package) is not None and find_spec(module) is not None


def celery_url(url: str) -> str:
    """Kombu spells a unix socket differently."""
    if not url.startswith("unix://"):
        return url or "redis://127.0.0.1:1/0"  # nobody listens: hints are lost, the reaper sees
    path, _, query = url.removeprefix("unix://").partition("?")
    database = dict(part.split("=", 1) for part in query.split("&") if "=" in part).get("db", "0")
    return f"redis+socket://{path}?virtual_host={database}"
