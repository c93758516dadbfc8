"""What a calibration found: its lines as a file, and that file as a page of the documentation.

``python -m arena.calibrate --json FILE`` writes the file; a run of some bars replaces their lines
and leaves the others. ``measured.json`` beside this module is the project's own run; a site shows
its operator's where there is one. Reading needs neither torch nor a jail.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from arena.errors import ArenaError

SCHEMA_VERSION: Final = 1
SHIPPED: Final = Path(__file__).with_suffix(".json")
KINDS: Final = {"A": "Attacks", "D": "Defenses"}


class MeasuredError(ArenaError):
    """A file of lines that is not there, or is none; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class Line:
    """One bar: what the paper says, what we ask, what was measured.

    ``interval`` is a 95 % interval of a share. ``setting`` names net, data and seed; ``why`` says
    what keeps the figure from the paper's, where something does. ``bar`` is what has to hold,
    ``group`` the name that ``--only`` knows it by.
    """

    id: str
    method: str
    paper: str
    bar: str
    measured: str
    interval: tuple[float, float] | None
    held: bool
    setting: str
    seconds: float = 0.0
    why: str = ""
    group: str = ""
    measured_on: str = ""

    @property
    def kind(self) -> str:
        """The heading it stands under."""
        return KINDS.get(self.id[:1], "Games")

    @property
    def range(self) -> str:
        """The interval in percent, or nothing."""
        if self.interval is None:
            return ""
        low, high = (100 * end for end in self.interval)
        return f"{low:.1f} to {high:.1f} %"


def read(path: Path) -> list[Line]:
    """The lines of the file. Raises :class:`MeasuredError`."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise MeasuredError(
            f"There is no {path.name} yet: run `make calibrate`, or "
            f"`python -m arena.calibrate --json {path}`."
        ) from None
    except (OSError, ValueError) as error:
        raise MeasuredError(f"{path.name} cannot be read ({error}): calibrate anew.") from error
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise MeasuredError(
            f"{path.name} is no calibration of version {SCHEMA_VERSION}: calibrate anew."
        )
    try:
        return [_line(entry) for entry in content["lines"]]
    except (KeyError, TypeError, ValueError) as error:
        raise MeasuredError(f"{path.name} has a line that is none ({error}).") from error


def _line(entry: dict[str, Any]) -> Line:
    interval = entry["interval"]
    if interval is not None:
        low, high = interval
        interval = (float(low), float(high))
    known = {field.name: entry[field.name] for field in fields(Line) if field.name in entry}
    return Line(**(known | {"interval": interval}))


def write(path: Path, lines: Iterable[Line]) -> None:
    content = {"schema_version": SCHEMA_VERSION, "lines": [asdict(line) for line in lines]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def merged(old: Sequence[Line], new: Sequence[Line], *, order: Sequence[str]) -> list[Line]:
    """``new`` in the place of all lines of its groups, groups in ``order``.

    Lines of a group that is no longer in ``order`` are dropped.
    """
    played = {line.group for line in new}
    lines = [*(line for line in old if line.group not in played), *new]
    return [line for group in order for line in lines if line.group == group]


def grouped(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """The lines under their headings: attacks, defenses, games."""
    return {
        kind: found
        for kind in (*KINDS.values(), "Games")
        if (found := [line for line in lines if line.kind == kind])
    }


def summary(lines: Sequence[Line]) -> str:
    """How many hold, and when they were measured."""
    held = sum(line.held for line in lines)
    days = sorted({line.measured_on for line in lines if line.measured_on})
    when = "" if not days else f", measured on {days[0]}"
    when += "" if len(days) < 2 else f" to {days[-1]}"
    return f"{held} of {len(lines)} bars hold{when}."


HEAD: Final = """# Calibration

The house players against the figures of their papers, each line played by the referee in the jail.
This page is written by `make calibrate` from `arena/measured.json`; the site shows the same lines
at `/calibration/`. A bar is what our own measurement set before; none is moved so that it holds.
Where a figure is not the paper's, the last column says on which net and data it was reached, and
why. Seconds are wall time on the machine that measured, with whatever else it did.
"""


def page(lines: Sequence[Line]) -> str:
    """The Markdown page of these lines."""
    parts = [HEAD, summary(lines) + "\n"]
    for kind, found in grouped(lines).items():
        rows = [
            "| | method | paper | bar | measured | 95 % | s | | net, data, why |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *(_row(line) for line in found),
        ]
        parts.append(f"## {kind}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(line: Line) -> str:
    about = "; ".join(text for text in (line.setting, line.why) if text)
    cells = (
        line.id,
        line.method,
        line.paper,
        line.bar,
        line.measured,
        line.range,
        f"{line.seconds:.0f}",
        "holds" if line.held else "**missed**",
        about,
    )
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
