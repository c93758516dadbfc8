"""What commands print. Names, sentences and logs come from strangers: nothing of theirs is markup.

Results go to stdout, progress and errors to stderr, so that ``--json`` can be piped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

MOST_CELL: Final = 400
PIPED_WIDTH: Final = 160


class Step(Protocol):
    """``arena.games.base.Step``, or anything like it."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def sentence(self) -> str: ...


class Teller(Protocol):
    def __call__(self, step: Step) -> None: ...


def plain(value: object, *, lines: bool = False) -> str:
    """``value`` without control characters: no escape sequence reaches the terminal.

    Bidirectional overrides go too (they are not printable): a name cannot turn a line around.
    """
    text = str(value)
    kept = "\n\t" if lines else ""
    return "".join(c if c in kept or c.isprintable() else "�" for c in text)


def out() -> Console:
    from rich.console import Console

    piped = not sys.stdout.isatty()
    return Console(highlight=False, markup=False, emoji=False, width=PIPED_WIDTH if piped else None)


def err() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def say(sentence: object) -> None:
    out().print(plain(sentence, lines=True), soft_wrap=True)


def warn(sentence: object) -> None:
    err().print(plain(sentence, lines=True), soft_wrap=True)


def print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=True) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A table on stdout. Figures are aligned right, None is a dash."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    listed = [list(row) for row in rows]
    drawn = Table(title=Text(plain(title)) if title else None, box=box.SIMPLE, title_justify="left")
    for index, column in enumerate(columns):
        numeric = bool(listed) and all(_is_figure(row[index]) for row in listed)
        drawn.add_column(
            Text(column),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric or index == 0,
        )
    for row in listed:
        drawn.add_row(*(_cell(value) for value in row))
    out().print(drawn)


def _is_figure(value: object) -> bool:
    return value is None or isinstance(value, int | float)


def _cell(value: object) -> RenderableType:
    from rich.text import Text

    return Text(plain(figure(value))[:MOST_CELL])


def figure(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".") if value == value else "–"
    return str(value)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


@contextmanager
def progress(title: str, *, shown: bool = True) -> Iterator[Teller]:
    """A bar on stderr while the block runs; yields what takes the referee's steps."""
    console = err()
    if not shown or not console.is_terminal:
        yield lambda step: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    # `markup=False` on every column: the sentence may name a stranger's player.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[sentence]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task(plain(title), total=None, sentence="")

        def tell(step: Step) -> None:
            total = step.total or None
            bars.update(bar, completed=step.done, total=total, sentence=plain(step.sentence))

        yield tell
