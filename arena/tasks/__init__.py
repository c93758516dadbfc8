"""Data sets to play on: :func:`names` lists them, :func:`load` gives one.

A task is one TOML file and, beside it, one numpy archive; an organizer's own task is the same.
"""

from arena.tasks.library import at_hand, load, names, on_a_gpu
from arena.tasks.task import Device, Split, Task, TaskWarning

__all__ = ["Device", "Split", "Task", "TaskWarning", "at_hand", "load", "names", "on_a_gpu"]
