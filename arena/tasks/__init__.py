"""Data sets to play on: :func:`names` lists them, :func:`load` gives one.

A task is one TOML file and, beside it, one numpy archive; an organizer's own task is the same.
"""

from arena.tasks.library import load, names
from arena.tasks.task import Split, Task, TaskWarning

__all__ = ["Split", "Task", "TaskWarning", "load", "names"]
