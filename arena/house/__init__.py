"""The house: reference players, written against the public interface like any guest's.

One player is one file in ``attacks``, ``defenses``, ``learners``, ``poisoners`` or
``thieves``; adding one is
adding a file. :mod:`arena.house.registry` finds them.
"""

from arena.house.registry import (
    REFERENCE,
    cannot_play,
    describe,
    manifest,
    misplaced,
    names,
    no_weights,
    package,
    related,
    related_names,
)

__all__ = [
    "REFERENCE",
    "cannot_play",
    "describe",
    "manifest",
    "misplaced",
    "names",
    "no_weights",
    "package",
    "related",
    "related_names",
]
