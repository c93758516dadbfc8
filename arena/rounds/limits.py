"""What a side may use in one match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from arena.errors import ThreatModelError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one side may use in one match; checked from outside the jail.

    ``wall_seconds`` starts when both sides said that they are ready; loading has its own clock.
    ``query_seconds`` is the defense's longest time for one request of at most 256 rows.
    """

    wall_seconds: float = 120.0
    cpu_seconds: float = 120.0
    load_seconds: float = 60.0
    query_seconds: float = 10.0
    memory_mib: int = 2048
    disk_mib: int = 64
    threads: int = 1
    open_files: int = 64
    log_kib: int = 64

    def __post_init__(self) -> None:
        for name in (limit.name for limit in fields(self)):
            value = getattr(self, name)
            if not (is_number(value) and 0 < value < float("inf")):
                raise ThreatModelError(f"{name} must be a positive number, not {value!r}.")

    @classmethod
    def from_json(cls, name: str, data: Any) -> Self:
        """From a table; ``name`` is what the round calls it."""
        known = [limit.name for limit in fields(cls)]
        if not isinstance(data, Mapping):
            raise ThreatModelError(
                f"{name} must be a table, such as {{wall_seconds = 60}}, not {data!r}."
            )
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise ThreatModelError(
                f"Unknown key {', '.join(unknown)} in {name}; it takes {', '.join(known)}."
            )
        return cls(**data)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
