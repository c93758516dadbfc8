"""The referee's finding: what a match recorded, per example and in sum, or who is at fault.

:class:`Outcome` is columnar (one row per example and epsilon) and is stored as one Parquet file per
match; :class:`Verdict` holds aggregates, the bits the ranking folds, and where they came from.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from arena.errors import FaultCode, RefereeError, Side

SCHEMA_VERSION: Final = 1


class Status(StrEnum):
    """How a match ended."""

    SCORED = "scored"
    FORFEIT = "forfeit"
    VOID = "void"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Fault:
    """Who is to blame, in the fixed vocabulary and in one sentence. ``side`` None is the arena."""

    side: Side | None
    code: FaultCode | None
    sentence: str

    def to_json(self) -> dict[str, Any]:
        return {
            "side": self.side.value if self.side else None,
            "code": self.code.value if self.code else None,
            "sentence": self.sentence,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            side=Side(data["side"]) if data.get("side") else None,
            code=FaultCode(data["code"]) if data.get("code") else None,
            sentence=str(data["sentence"]),
        )


@dataclass(frozen=True)
class Outcome:
    """Columns of equal length, one row per judged example (and epsilon, or share and seed).

    ``kind`` names the game whose columns these are (docs/rules.md, "Outcome record").
    """

    kind: str
    columns: Mapping[str, NDArray[Any]]
    images: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """``clean`` (n, *shape) and ``attacked`` (epsilons, n, *shape), for the gallery and replays."""

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise RefereeError(f"Outcome columns differ in length: {lengths}")

    def __len__(self) -> int:
        return next((len(column) for column in self.columns.values()), 0)

    def write(self, path: Path) -> None:
        """One Parquet file; the schema version and kind are in its metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({name: pa.array(column) for name, column in self.columns.items()})
        meta = {"adversarium.schema_version": str(SCHEMA_VERSION), "adversarium.kind": self.kind}
        pq.write_table(table.replace_schema_metadata(meta), path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> Self:
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        version = meta.get("adversarium.schema_version")
        if version != str(SCHEMA_VERSION):
            raise RefereeError(f"Outcome file {path.name} has schema version {version!r}.")
        columns = {name: table[name].to_numpy() for name in table.column_names}
        return cls(kind=meta["adversarium.kind"], columns=columns)


@dataclass(frozen=True)
class Kills:
    """What ranking folds, bit per example.

    ``examples`` (n,) int64 indices into the split; ``clean_right`` (n,); ``broken``
    (epsilons, n); ``distances`` (n,) smallest perturbation found, or what a miss
    costs where ``broken`` is not set, minimum-norm rounds only;
    ``radii`` (n,) certified, 0 where the claim is wrong or refuted, certification rounds only.
    ``attackable`` (n,): which examples were attacked at all; None for all of them.
    """

    examples: NDArray[np.int64]
    clean_right: NDArray[np.bool_]
    broken: NDArray[np.bool_]
    epsilons: tuple[float, ...] = ()
    distances: NDArray[np.float32] | None = None
    radii: NDArray[np.float32] | None = None
    attackable: NDArray[np.bool_] | None = None

    @property
    def at_stake(self) -> NDArray[np.bool_]:
        """(n,) clean right, and attacked: what success is counted over."""
        return self.clean_right if self.attackable is None else self.clean_right & self.attackable

    def to_json(self) -> dict[str, Any]:
        """Compact: bits packed and hexadecimal, so that a row of the database holds it."""
        distances = None
        if self.distances is not None:
            distances = [float(d) if np.isfinite(d) else None for d in self.distances]
        radii = {} if self.radii is None else {"radii": [float(r) for r in self.radii]}
        attackable = {} if self.attackable is None else {"attackable": _hex(self.attackable)}
        return {
            **radii,
            **attackable,
            "examples": self.examples.tolist(),
            "clean_right": _hex(self.clean_right),
            "broken": [_hex(row) for row in self.broken],
            "epsilons": list(self.epsilons),
            "distances": distances,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        examples = np.array(data["examples"], np.int64)
        n = len(examples)
        distances = data.get("distances")
        rows = [_bits(row, n) for row in data["broken"]]
        return cls(
            examples=examples,
            clean_right=_bits(data["clean_right"], n),
            broken=np.array(rows, bool).reshape(len(rows), n),
            epsilons=tuple(data["epsilons"]),
            distances=None
            if distances is None
            else np.array([np.inf if d is None else d for d in distances], np.float32),
            radii=np.array(data["radii"], np.float32) if "radii" in data else None,
            attackable=_bits(data["attackable"], n) if "attackable" in data else None,
        )


def _hex(bits: NDArray[np.bool_]) -> str:
    return np.packbits(bits).tobytes().hex()


def _bits(text: str, n: int) -> NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=n).astype(bool)


@dataclass(frozen=True)
class Verdict:
    """Everything that is known of a match once it ended.

    ``metrics``: flat name -> number or None, keyed by ``arena.metrics`` names.
    ``curve``: one mapping per epsilon (or poisoned share), ascending, with its own metrics.
    ``fault`` is set on forfeits and voids; a forfeit by the attack still carries ``kills`` (its
    last candidates, or clean examples), one by the defense counts its unanswered inputs as wrong.
    ``provenance``: versions, hashes of both packages and the split, seed, backend, times.
    ``logs``: capped text that each side printed, by side.
    """

    status: Status
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    curve: tuple[Mapping[str, float | None], ...] = ()
    fault: Fault | None = None
    kills: Kills | None = None
    outcome: Outcome | None = None
    flags: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything but the outcome's columns and images, which go into files."""
        return {
            "schema_version": SCHEMA_VERSION,
            "status": self.status.value,
            "metrics": dict(self.metrics),
            "curve": [dict(point) for point in self.curve],
            "fault": self.fault.to_json() if self.fault else None,
            "kills": self.kills.to_json() if self.kills else None,
            "flags": list(self.flags),
            "provenance": dict(self.provenance),
            "logs": dict(self.logs),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            status=Status(data["status"]),
            metrics=data["metrics"],
            curve=tuple(data["curve"]),
            fault=Fault.from_json(data["fault"]) if data["fault"] else None,
            kills=Kills.from_json(data["kills"]) if data["kills"] else None,
            flags=tuple(data["flags"]),
            provenance=data["provenance"],
            logs=data["logs"],
        )

    def write(self, directory: Path) -> None:
        """``verdict.json``, ``outcome.parquet`` and ``images.npz`` (uint8-free, float32)."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "verdict.json").write_text(json.dumps(self.to_json(), allow_nan=False))
        if self.outcome is not None:
            self.outcome.write(directory / "outcome.parquet")
            if self.outcome.images:
                _write_images(directory / "images.npz", self.outcome.images)


def _write_images(path: Path, images: Mapping[str, NDArray[np.float32]]) -> None:
    """What ``numpy.savez_compressed`` writes, a quarter larger and in a quarter of the time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in images.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
