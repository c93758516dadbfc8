"""``arena tasks``: the data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arena.cli.console import print_json, say, table

if TYPE_CHECKING:
    from arena.tasks import Task

app = typer.Typer(name="tasks", help="The data sets to play on.", no_args_is_help=True)


@app.callback()
def _tasks() -> None:
    """The data sets to play on."""


@app.command("list")
def list_(
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """List the tasks: names that --task takes."""
    from arena import tasks

    found = {name: _loaded(name) for name in tasks.names()}
    if json:
        print_json([_as_json(name, task) for name, task in found.items()])
        return
    table(
        ("Name", "Shape", "Classes", "Clean floor", "Usual ε in L∞", "Device", "Title"),
        [_row(name, task) for name, task in found.items()],
    )


def _loaded(name: str) -> Task | None:
    """None for what must be imported first."""
    from arena import tasks
    from arena.errors import TaskError

    try:
        return tasks.load(name)
    except TaskError:
        return None


def _as_json(name: str, task: Task | None) -> dict[str, object]:
    if task is None:
        return {"name": name, "here": False}
    return {
        "name": task.name,
        "here": True,
        "title": task.title,
        "shape": list(task.shape),
        "classes": list(task.classes),
        "regression": task.is_regression,
        "floor": task.floor,
        "device": task.device.value,
        "norms": {norm: list(epsilons) for norm, epsilons in task.norms.items()},
    }


def _row(name: str, task: Task | None) -> tuple[object, ...]:
    if task is None:
        return name, "", "", "", "", "", f"not here yet: arena tasks fetch {name}"
    shape = " x ".join(map(str, task.shape))
    epsilons = ", ".join(f"{epsilon:g}" for epsilon in task.norms.get("linf", ()))
    return (
        name,
        shape,
        len(task.classes) if task.target is None else f"{task.target.unit} (regression)",
        f"{task.floor:g}",
        epsilons,
        task.device.value,
        task.title,
    )


@app.command("import")
def import_(
    name: Annotated[
        str, typer.Argument(help="mnist or fashion-mnist, or a name for data of your own.")
    ],
    source: Annotated[
        Path,
        typer.Option(
            "--from", help="The folder with the four IDX files, or your own file: .csv or .npz."
        ),
    ],
    *,
    label: Annotated[str, typer.Option(help="CSV: the column of labels, or of values.")] = "",
    feature: Annotated[
        list[str] | None,
        typer.Option(help="CSV: a column to use; once for each, in order. All others by default."),
    ] = None,
    regression: Annotated[
        bool,
        typer.Option(
            "--regression",
            help="Values, not classes. The first feature is time, a second one the series.",
        ),
    ] = False,
    test: Annotated[Path | None, typer.Option(help="CSV: the test split, same columns.")] = None,
    test_share: Annotated[
        float, typer.Option(help="Share of the examples that are held out where none are given.")
    ] = 0.3,
    seed: Annotated[int, typer.Option(help="What draws them.")] = 0,
    title: Annotated[str, typer.Option(help="As pages show it.")] = "",
    licence: Annotated[str, typer.Option(help="Under which the data may be used.")] = "not stated",
    unit: Annotated[str, typer.Option(help="Of the values of a regression task.")] = "",
    floor: Annotated[
        float | None, typer.Option(help="Least clean accuracy that is ranked; a guess by default.")
    ] = None,
    drop_duplicates: Annotated[
        bool,
        typer.Option(
            "--drop-duplicates", help="Leave out of a split what a later one holds as well."
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a task of that name; raises its version.")
    ] = False,
) -> None:
    """Bring in a full data set from its IDX files, or data of your own from a CSV or NPZ file.

    The hashes of IDX files are checked. Columns of a table are scaled to [0, 1], and the scaling is
    kept in the task; an NPZ holds x and y, optionally x_test, y_test, x_final, y_final, features.
    """
    if source.suffix not in (".csv", ".npz"):
        from arena.tasks.importing import import_idx

        say(f"Task {name} is ready: {import_idx(name, source)}")
        return
    from arena.tasks.own_data import Wishes, import_own

    wishes = Wishes(
        label=label,
        features=tuple(feature or ()),
        regression=regression,
        test=test,
        share=test_share,
        seed=seed,
        title=title,
        licence=licence,
        unit=unit,
        floor=floor,
        drop_duplicates=drop_duplicates,
        replace=replace,
    )
    imported = import_own(name, source, wishes)
    for note in imported.notes:
        say(note)
    say(f"Task {name} is ready: {imported.path}")


@app.command("fetch")
def fetch(name: Annotated[str, typer.Argument(help="mnist or fashion-mnist.")]) -> None:
    """Download a full data set from its public mirrors; its hashes are checked."""
    from arena.tasks.importing import fetch as download

    say(f"Task {name} is ready: {download(name)}")


@app.command("export")
def export(
    name: Annotated[str, typer.Argument(help="A task's name.")],
    out: Annotated[Path, typer.Argument(help="Where to write the .npz.")],
) -> None:
    """Write a task's training and practice splits as one .npz, to train on anywhere."""
    import numpy as np

    from arena import tasks

    task = tasks.load(name)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as file:
        np.savez_compressed(
            file,
            x_train=task.train.x,
            y_train=task.train.y,
            x_practice=task.practice.x,
            y_practice=task.practice.y,
        )
    say(f"{out}: x_train, y_train, x_practice, y_practice")
