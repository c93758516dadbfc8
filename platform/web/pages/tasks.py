"""What is classified: the list of tasks, one task's page, and its published data."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control

import arena.tasks
from arena.errors import TaskError
from arena.tasks import Split, Task
from events.errors import NotThere
from tournaments import selectors
from web.answers import attachment, page
from web.pages import series
from web.pages.pictures import PER_CLASS, first_of_class, png
from web.pages.rows import examples_of, features_of

PUBLISHED = ("train", "practice")


def _load(name: str) -> Task:
    if name not in arena.tasks.names():
        raise NotThere("There is no such task.")
    try:
        return arena.tasks.load(name)
    except TaskError as error:
        raise NotThere(str(error)) from error


@page
def tasks(request: HttpRequest) -> HttpResponse:
    found = [arena.tasks.load(name) for name in arena.tasks.at_hand()]
    return render(request, "web/tasks.html", {"tasks": found, "section": "tasks"})


@page
def task(request: HttpRequest, name: str) -> HttpResponse:
    found = _load(name)
    context = {
        "task": found,
        "public": found.public_json(),
        "costs": [] if found.cost is None else zip(found.classes, found.cost.tolist(), strict=True),
        "features": features_of(found),
        "rows": [] if found.is_image else examples_of(found),
        "examples": [
            (label, [(k, i) for i in range(PER_CLASS)])
            for k, label in enumerate(found.classes)
            if found.is_image
        ],
        "drawings": series.of_task(found, found.practice),
        "tournaments": selectors.visible_to(request.user).filter(task=name)[:6],
        "section": "tasks",
    }
    return render(request, "web/task.html", context)


@cache_control(public=True, max_age=86400)
@page
def example(request: HttpRequest, name: str, label: int, number: int) -> HttpResponse:
    """The ``number``-th practice image of a class, as a PNG."""
    found = _load(name)
    if not found.is_image or not (label < len(found.classes) and number < PER_CLASS):
        raise NotThere("There is no such example.")
    return png(first_of_class(found.practice, label, number))


@cache_control(public=True, max_age=86400)
@page
def data(request: HttpRequest, name: str, split: str) -> HttpResponse:
    """A published split as .npz with ``x`` float32 in [0, 1] and ``y`` int64."""
    if split not in PUBLISHED:
        raise NotThere("There is no such published split.")
    found = _load(name)
    response = attachment(
        _archive(name, split, found.digest), name=f"{name}-{split}.npz", kind="application/zip"
    )
    del response.headers["Cache-Control"]
    return response


@lru_cache(maxsize=4)
def _archive(name: str, split: str, _digest: str) -> bytes:
    task = arena.tasks.load(name)
    chosen: Split = task.train if split == "train" else task.practice
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=chosen.x, y=chosen.y)
    return buffer.getvalue()
