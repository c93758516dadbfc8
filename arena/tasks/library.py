"""Which tasks there are, and where their files lie.

House tasks lie beside this module. Tasks that were imported or that an organizer wrote lie in the
user's data directory, ``$ADVERSARIUM_DATA/tasks``, or ``~/.local/share/adversarium/tasks``. They
never take a house task's name.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from arena.errors import TaskError
from arena.tasks.task import Device, Task
from arena.tasks.taskfile import NAME, read_task

HOUSE_DIRECTORY: Final = Path(__file__).parent
#: Too large to ship: listed by the house, loadable once imported.
IMPORTABLE: Final = ("mnist", "fashion-mnist")


def user_directory() -> Path:
    """Where imported and organizers' tasks lie; it need not exist."""
    root = os.environ.get("ADVERSARIUM_DATA")
    base = Path(root) if root else Path.home() / ".local" / "share" / "adversarium"
    return base / "tasks"


def house_names() -> list[str]:
    """Names of the tasks that come with the product, the importable ones included."""
    return sorted(path.stem for path in HOUSE_DIRECTORY.glob("*.toml"))


def names() -> list[str]:
    """Every task's name: the house's, then those in the user's data directory."""
    house = house_names()
    own = {path.stem for path in user_directory().glob("*.toml") if NAME.fullmatch(path.stem)}
    return house + sorted(own - set(house))


def at_hand() -> list[str]:
    """The names of the tasks that can be played on this machine."""
    found = []
    for name in names():
        with suppress(TaskError):
            load(name)
            found.append(name)
    return found


def on_a_gpu(names: Iterable[str]) -> list[str]:
    """Those of ``names`` whose players may use a GPU; what is no task is left to who loads it."""
    found = []
    for name in names:
        with suppress(TaskError):
            if load(name).device is Device.CUDA:
                found.append(name)
    return found


def load(name_or_path: str | Path) -> Task:
    """The task with that name, or in that TOML file: a path, or a text with ``/`` or ``.toml``.

    Loading is cheap: arrays are read at first use and shared by all who load the same file.
    Raises :class:`TaskError` with the remedy where there is no such task or its file is wrong.
    A path is opened as it is: pass no path from a stranger.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith(".toml"):
        return _load_file(Path(name_or_path))
    path = _path_of(text)
    task = _load_file(path)
    if task.name != text:
        raise TaskError(
            f"{path.name} says that its name is {task.name!r}: let the file and `name` agree."
        )
    return task


def _path_of(name: str) -> Path:
    if name in IMPORTABLE:
        path = user_directory() / f"{name}.toml"
        if not path.is_file():
            raise TaskError(
                f"Task {name!r} is not on this machine yet: run `arena tasks import {name} "
                "--from DIR` with the folder that holds its four IDX files."
            )
        return path
    folder = HOUSE_DIRECTORY if name in house_names() else user_directory()
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f": did you mean {close[0]!r}?" if close else "."
        raise TaskError(
            f"There is no task {name!r}{hint} Tasks are {', '.join(names())}; for one of your own "
            "give the path of its TOML file."
        )
    return folder / f"{name}.toml"


def _load_file(path: Path) -> Task:
    path = path.resolve()
    try:
        state = path.stat()
    except OSError:
        raise TaskError(f"There is no task file {path}: check the path.") from None
    task = _read_once(path, state.st_mtime_ns, state.st_size)
    if path.parent != HOUSE_DIRECTORY.resolve() and task.name in _reserved():
        raise TaskError(
            f"{path.name} calls itself {task.name!r}, which is a house task: choose another name."
        )
    return task


def _reserved() -> set[str]:
    return set(house_names()) - set(IMPORTABLE)


@lru_cache(maxsize=64)
def _read_once(path: Path, _modified: int, _size: int) -> Task:
    """Cached by the file's time and size too, so that an edited task is read anew.

    An archive replaced under an unchanged TOML is not noticed by a running process: whoever
    changes the data raises ``version``.
    """
    return read_task(path)
