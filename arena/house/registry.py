"""Finds the house players by listing folders; reads their manifests without importing them.

A player's name is its file's with hyphens: ``attacks/cw_l2.py`` is ``cw-l2``. Nothing here imports
torch or runs a player's code, so that the site may call it.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from arena.applicability import ROLES, USUAL_ROLES, plays_round
from arena.errors import PackageError, TaskError
from arena.house import sidecar
from arena.house.recipes import ARCHITECTURES, LENT, RECIPES
from arena.manifest import MAX_NAME, Manifest, Role
from arena.packages import Package
from arena.rounds import RoundSpec

HOUSE: Final = Path(__file__).parent
WEIGHTS: Final = HOUSE / "weights"
FOLDERS: Final[Mapping[str, str]] = {
    "defense": "defenses",
    "attack": "attacks",
    "learner": "learners",
    "poisoner": "poisoners",
    "thief": "thieves",
}
#: Full data sets are played by the models that were trained on their vendored subsets.
SUBSETS: Final[Mapping[str, str]] = {"mnist": "mnist5k", "fashion-mnist": "fashion5k"}
#: Fitted to tasks that the house ships no weights for.
BASELINE: Final = "logistic-regression"
#: Attacked where no defense is there yet, and asked for the least likely class.
REFERENCE: Final = "cnn"
#: What a round with related parameters shows for a defense of another family, or of none.
RELATED_DEFAULT: Final = ("related-cnn", "related-logistic-regression")
#: Height and width that pictures must have at least, where a player's net halves them twice.
LEAST_SIDE: Final[Mapping[str, int]] = {"cnn-learner": 4, "sphere-sanitisation": 4}
MOST_NAMES: Final = 5
"""Of players, in a sentence."""
LIST: Final = "`arena house list`"
_BESIDE: Final = r"(?m)^from arena\.house\.{}\."


def names(role: Role | str | None = None) -> list[str]:
    """Names of the house players, of one role or of all: defenses first, then attacks."""
    folders = [FOLDERS[Role(role).value]] if role is not None else list(FOLDERS.values())
    return [path.stem.replace("_", "-") for folder in folders for path in _files(folder)]


def package(name: str, task: str) -> Package:
    """That house player, ready to play on ``task``, as the package a guest would upload.

    Raises:
        PackageError: no such player, or one that cannot play on this task (:func:`cannot_play`).
    """
    if (reason := _too_small(name, task)) is not None:
        raise PackageError(reason)
    return _package(name, task, _path(name).stat().st_mtime_ns, _version(task))


def related(family: str | None, task: str) -> tuple[Package, ...]:
    """House models like a defense of that declared family, trained on the public split.

    Never the weights of a house defense: the same recipe from another seed. A family the house
    does not know gets a convolutional network and a logistic regression.
    """
    found = related_names(family, task)
    if not found and _is_own(task):
        return (_baseline_related(task),)
    return tuple(_related(name) for name in found)


def related_names(family: str | None, task: str) -> tuple[str, ...]:
    """Of the weights of those models; none of an organizer's own task, whose model is fitted."""
    same = [
        recipe.player
        for recipe in RECIPES
        if recipe.player.startswith("related-")
        and family
        and family.casefold() == manifest(recipe.player.removeprefix("related-")).family.casefold()
    ]
    chosen = [f"{player}-{_trained_task(task)}" for player in dict.fromkeys(same)]
    default = [f"{player}-{_trained_task(task)}" for player in RELATED_DEFAULT]
    known = sidecar.read(WEIGHTS)
    return tuple([name for name in chosen if name in known] or [n for n in default if n in known])


def describe(name: str) -> dict[str, Any]:
    """What lists show of a player: name, title, role, abstract, needs, tasks it can play."""
    data = manifest(name)
    return {
        "name": name,
        "title": data.name,
        "role": data.role.value,
        "description": data.description,
        "family": data.family,
        "tasks": tasks_of(name),
        "manifest": data.to_json(),
        "source": _path(name).relative_to(HOUSE.parent.parent).as_posix(),
    }


def tasks_of(name: str) -> list[str]:
    """Tasks that a defense ships weights for; ``["*"]`` for players without weights.

    A baseline (:mod:`arena.house.baseline`) is fitted for an organizer's own as well.
    """
    if not manifest(name).weights:
        return list(manifest(name).tasks)
    trained = sorted(_entries(name))
    return trained + [full for full, subset in SUBSETS.items() if subset in trained]


def no_weights(name: str, task: str) -> str | None:
    """That a house player has no weights for a task, one sentence; None if it has or needs none."""
    if not manifest(name).weights or _trained_task(task) in _entries(name):
        return None
    if LENT.get(name, name) == BASELINE and _is_own(task):
        return None
    return (
        f"House defense {name!r} has no weights for task {task!r}; it has them for "
        f"{', '.join(tasks_of(name)) or 'none yet (run `make house-weights`)'}."
    )


def cannot_play(name: str, task: str) -> str | None:
    """Why a house player cannot play on that task, for want of weights or of a picture large enough
    for its net, one sentence; None if it can."""
    return no_weights(name, task) or _too_small(name, task)


def misplaced(name: str, round_: RoundSpec) -> str | None:
    """That a house player does not play the round's game, or certifies nothing in its norm, with
    those that do; None if it has a place there, or its role has none."""
    role = manifest(name).role
    if role not in ROLES.get(round_.game, USUAL_ROLES) or plays_round(manifest(name), round_):
        return None
    others = [
        other
        for other in names(role)
        if plays_round(manifest(other), round_) and cannot_play(other, round_.task) is None
    ]
    kind = f"{round_.game.value.replace('_', '-')} rounds"
    if role is Role.DEFENSE:  # the one game that some do not play
        kind += f" in the norm {round_.norm.value}: it certifies nothing there"
    more = f" and {len(others) - MOST_NAMES} more ({LIST})" if len(others) > MOST_NAMES else ""
    told = ", ".join(others[:MOST_NAMES]) + more
    return f"House {role.value} {name!r} does not play {kind}. " + (
        f"Those of the house that do: {told}." if others else f"No {role.value} of the house does."
    )


def _too_small(name: str, task: str) -> str | None:
    """None of the house's own tasks, which are large enough, nor where the data cannot be read."""
    least = LEAST_SIDE.get(name)
    if least is None or not _is_own(task):
        return None
    from arena import tasks

    try:
        sides = tasks.load(task).shape[-2:]
    except TaskError:
        return None
    if len(sides) < 2 or min(sides) >= least:
        return None
    return (
        f"House learner {name!r} needs pictures of {least} x {least} at least; those of the task "
        f"{task!r} are {sides[0]} x {sides[1]}."
    )


def manifest(name: str) -> Manifest:
    """The checked manifest in the player's file."""
    path = _path(name)
    return Manifest.parse(_manifest_text(path, path.stat().st_mtime_ns).encode())


def _files(folder: str) -> list[Path]:
    return sorted(
        path
        for path in (HOUSE / folder).glob("*.py")
        if not path.stem.startswith("_") and _has_manifest(path)
    )


def _path(name: str) -> Path:
    for folder in FOLDERS.values():
        path = HOUSE / folder / f"{name.replace('-', '_')}.py"
        if re.fullmatch(r"[a-z0-9-]+", name) and path.is_file() and _has_manifest(path):
            return path
    close = difflib.get_close_matches(name[:MAX_NAME], names(), n=1)
    hint = f": did you mean {close[0]!r}?" if close else "."
    raise PackageError(f"There is no house player {name!r}{hint} {LIST} names them all.")


def _has_manifest(path: Path) -> bool:
    return bool(_manifest_text(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=256)
def _manifest_text(path: Path, _modified: int) -> str:
    """The module constant MANIFEST, read from the source; empty where there is none."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == "MANIFEST" for target in targets):
            value = ast.literal_eval(node.value) if node.value is not None else ""
            return str(value).strip() + "\n"
    return ""


def _version(task: str) -> str:
    """Of an organizer's own task: it may be replaced under its name."""
    from arena import tasks

    return tasks.load(task).digest if _is_own(task) else ""


@lru_cache(maxsize=256)
def _package(name: str, task: str, _modified: int, _version: str) -> Package:
    path = _path(name)
    data = manifest(name)
    text = _manifest_text(path, path.stat().st_mtime_ns)
    files = _code(path) if data.entry else {}
    if data.weights:
        files |= _weight_files(name, task)
        text = f'task = "{task}"\n{text}'
    return Package.of(files | {"manifest.toml": text.encode()})


def _code(path: Path) -> dict[str, bytes]:
    """The player's file; the neighbours that it builds on travel along, as ``neighbour.py``."""
    files, waiting = {"player.py": _plain(path)}, _neighbours(path)
    while waiting:
        neighbour = waiting.pop()
        if neighbour.name not in files:
            files[neighbour.name] = _plain(neighbour)
            waiting |= _neighbours(neighbour)
    return files


def _neighbours(path: Path) -> set[Path]:
    found = re.findall(_BESIDE.format(path.parent.name) + r"(\w+) ", path.read_text("utf-8"))
    return {path.parent / f"{name}.py" for name in found}


def _plain(path: Path) -> bytes:
    """The source, with neighbours imported as the files beside it that they become."""
    return re.sub(_BESIDE.format(path.parent.name), "from ", path.read_text("utf-8")).encode()


def _weight_files(name: str, task: str) -> dict[str, bytes]:
    data, reason = manifest(name), no_weights(name, task)
    if reason is not None:
        raise PackageError(reason)
    entry = _entries(name).get(_trained_task(task))
    if entry is None:
        return _baseline(task, seed=0)
    files = {data.weights: _weights(entry)}
    if data.architecture:
        files[data.architecture] = _architecture(entry)
    return files


def _is_own(task: str) -> bool:
    """Whether it is an organizer's, and no task of the house."""
    from arena import tasks
    from arena.tasks.library import house_names

    return task not in house_names() and task in tasks.names()


def _baseline(task: str, *, seed: int) -> dict[str, bytes]:
    """Architecture and weights of the baseline on an organizer's own task."""
    from arena import tasks
    from arena.house import baseline

    found = tasks.load(task)
    entry = {
        "architecture": baseline.ARCHITECTURE,
        "shape": found.shape,
        "classes": len(found.classes),
    }
    weights = baseline.weights(found, seed=seed)
    return {"architecture.py": _architecture(entry), "weights.safetensors": weights}


def _entries(name: str) -> dict[str, dict[str, Any]]:
    """The weight files of one player, its own or lent, by task."""
    lender, known = LENT.get(name, name), sidecar.read(WEIGHTS)
    mine = [recipe for recipe in RECIPES if recipe.player == lender]
    return {recipe.task: known[recipe.name] for recipe in mine if recipe.name in known}


def _trained_task(task: str) -> str:
    return SUBSETS.get(task, task)


def _weights(entry: Mapping[str, Any]) -> bytes:
    return (WEIGHTS / str(entry["file"])).read_bytes()


def _architecture(entry: Mapping[str, Any]) -> bytes:
    """The builder's source with the task's SHAPE and CLASSES at its top."""
    source = (ARCHITECTURES / str(entry["architecture"])).read_text("utf-8")
    for constant, value in (("SHAPE", tuple(entry["shape"])), ("CLASSES", entry["classes"])):
        source = re.sub(rf"(?m)^({constant}: [^=]*= ).*$", rf"\g<1>{value}", source)
    return source.encode()


@lru_cache(maxsize=64)
def _related(name: str) -> Package:
    entry = sidecar.read(WEIGHTS)[name]
    files = {"architecture.py": _architecture(entry), "weights.safetensors": _weights(entry)}
    return _model(name, files)


def _baseline_related(task: str) -> Package:
    return _model(f"related-{BASELINE}-{task}", _baseline(task, seed=1))


def _model(name: str, files: Mapping[str, bytes]) -> Package:
    """A related model as a package of architecture and weights, without code of its own."""
    text = (
        "schema_version = 1\n"
        f'name = "{name}"\n'
        'role = "defense"\nframework = "torch"\n'
        'architecture = "architecture.py"\nweights = "weights.safetensors"\n'
        "differentiable = true\n"
    )
    return Package.of({"manifest.toml": text.encode(), **files})
