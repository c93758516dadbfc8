"""Where a verdict comes from, in words: versions, digests, seeds, jail, and what a game noted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

WORDS: Final[Mapping[str, str]] = {
    "versions": "Version of",
    "attack_sha256": "SHA-256 of the attack's package",
    "defense_sha256": "SHA-256 of the defense's package",
    "related_sha256": "SHA-256 of the related models",
    "surrogate_sha256": "SHA-256 of each copy",
    "task": "Task",
    "task_digest": "Digest of the task",
    "split": "Split",
    "seed": "Seed of the match",
    "training_seeds": "Seeds of the trainings",
    "backend": "Sandbox",
    "walls": "Walls of the sandbox",
    "seconds": "Seconds of the",
    "elapsed": "Seconds in all",
    "target": "Target class",
    "targets": "Target classes",
    "poison": "Digest of each poison",
    "poison_points": "Points of each poison",
    "published": "Examples published",
    "queries": "Probes asked",
    "asked": "Probes asked",
    "stops": "Copies asked for after probes",
    "refuted": "Refuted claims",
    "replayed": "Examples played again",
}
"""By the key in the record. A table's word stands before its rows': ``Version of torch``."""
CLAIM: Final = ("example", "distance", "radius", "label")
"""Parts of a refuted claim, as they are told."""
LONGEST: Final = 300


def told(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of all that was ``found``."""
    return [row for key in _ordered(found, WORDS) for row in _rows(found[key], word(key))]


def _ordered(found: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """The keys as they stand in ``known``, then the others: a database keeps no order of them."""
    places = {key: place for place, key in enumerate(known)}
    return sorted(found, key=lambda key: (places.get(key, len(places)), key))


def word(key: str) -> str:
    return WORDS.get(key) or key.replace("_", " ").capitalize()


def _rows(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key in _ordered(value, ()):
            yield from _rows(value[key], f"{name} {key.replace('_', ' ')}")
    elif isinstance(value, list):
        if value:
            yield name, "; ".join(map(_joined, value))[:LONGEST]
    elif value is not None:
        yield name, str(value)[:LONGEST]


def _joined(item: Any) -> str:
    """What is in a list, as one word."""
    if isinstance(item, dict):
        return ", ".join(f"{key} {item[key]}" for key in _ordered(item, CLAIM))
    if isinstance(item, list):
        return " + ".join(map(_joined, item))
    return "none" if item is None else str(item)
