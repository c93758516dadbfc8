"""Starters: packages that qualify and play as they are, for ``arena init`` to write.

A starter is a folder ``<role>/<name>`` of ``.tmpl`` files; each becomes the file without that
suffix, with ``@NAME@``, ``@TASK@``, ``@SHAPE@`` and ``@CLASSES@`` filled in. ``weights`` in
:data:`STARTERS` names the house player whose weights it begins with. Every house player is a
starter too: its source is written as a guest's would be.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arena.errors import PackageError
from arena.manifest import MAX_NAME, Role
from arena.rounds import GameName

if TYPE_CHECKING:
    from arena.tasks import Task

ROOT: Final = Path(__file__).parent
SUFFIX: Final = ".tmpl"


@dataclass(frozen=True)
class Starter:
    """``weights``: the house player that lends its weights; ``sentence``: what it is."""

    role: Role
    name: str
    sentence: str
    weights: str = ""


STARTERS: Final = (
    Starter(Role.DEFENSE, "cnn", "A small convolutional network in torch, with training.", "cnn"),
    Starter(
        Role.DEFENSE,
        "pgd-training",
        "Adversarial training in torch (Madry et al. 2018).",
        "adversarial-training",
    ),
    Starter(
        Role.DEFENSE, "numpy", "Twelve lines of numpy: softmax regression.", "logistic-regression"
    ),
    Starter(
        Role.DEFENSE,
        "sklearn",
        "A scikit-learn estimator, without code: nearest neighbours.",
        "nearest-neighbour",
    ),
    Starter(Role.ATTACK, "fgsm", "Twelve lines of numpy: one step along the gradient."),
)
DEFAULTS: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.DEFENSE: ("cnn", "numpy"),
    Role.ATTACK: ("fgsm", "good-words"),
    Role.LEARNER: ("logistic-learner", "ols-trend"),
    Role.POISONER: ("label-flip", "level-trend"),
    Role.THIEF: ("equation-solving",),
}
"""Of each role, for tasks that have weights, norms and classes, and for others."""


def names(role: Role) -> list[str]:
    """The starters of a role: our own, then the house players."""
    from arena import house

    own = [starter.name for starter in STARTERS if starter.role is role]
    return own + [name for name in house.names(role) if name not in own]


def unknown(role: Role, template: str) -> str:
    """That there is no such starter, with the nearest that there is, and where to look."""
    close = difflib.get_close_matches(template[:MAX_NAME], names(role), n=1)
    hint = f": did you mean {close[0]!r}?" if close else "."
    own = [starter.name for starter in STARTERS if starter.role is role]
    others = f"any player of `arena house list --role {role.value}`"
    return (
        f"There is no {role.value} template {template!r}{hint} Templates are "
        f"{', '.join([*own, others])}."
    )


def default(role: Role, task: Task) -> str:
    """The starter for a task where none was said; ``unfit`` tells where none has a place there."""
    fitting = [name for name in DEFAULTS[role] if _reason(name, task) is None]
    in_norm = [name for name in fitting if _shares_a_norm(name, task)]
    return (in_norm or fitting or DEFAULTS[role])[0]


def unfit(role: Role, template: str, task: Task) -> str | None:
    """Why a starter cannot play on a task, with those that can; None if it can."""
    reason = _reason(template, task)
    if reason is None:
        return None
    fitting = [name for name in names(role) if _reason(name, task) is None]
    remedy = f"Templates for {task.name}: {', '.join(fitting)}." if fitting else ""
    return f"{reason} {remedy}".strip()


def _reason(template: str, task: Task) -> str | None:
    from arena import house

    player = _player(template)
    manifest = house.manifest(player)
    trends = GameName.TREND_POISONING in manifest.needs.games
    if task.is_regression and not trends:
        return (
            f"Task {task.name!r} has values and no classes: learners and poisoners of trends "
            "alone play there."
        )
    if trends and not task.is_regression:
        return f"Task {task.name!r} has classes and no values: {template!r} is about trends."
    return house.cannot_play(player, task.name)


def _shares_a_norm(template: str, task: Task) -> bool:
    """Whether its attack plays a norm in which the task has usual ε."""
    from arena import house

    manifest = house.manifest(_player(template))
    return manifest.role is not Role.ATTACK or bool(set(task.norms) & set(manifest.needs.norms))


def _player(template: str) -> str:
    """The house player that a starter is like."""
    return next((s.weights for s in STARTERS if s.name == template and s.weights), template)


def files(role: Role, template: str, *, name: str, task: Task) -> dict[str, bytes]:
    """The files of a new package by relative path.

    Raises:
        PackageError: no such starter, or the house has no weights of it for this task.
    """
    starter = next((s for s in STARTERS if (s.role, s.name) == (role, template)), None)
    if starter is None:
        return _of_house(role, template, name=name, task=task)
    values = {
        "@NAME@": name,
        "@TASK@": task.name,
        "@SHAPE@": repr(task.shape),
        "@CLASSES@": str(len(task.classes)),
    }
    found = _filled(ROOT / role.value / template, values)
    if starter.weights:
        found |= _lent(starter, task)
    return found


def _filled(folder: Path, values: Mapping[str, str]) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        text = path.read_text("utf-8")
        for key, value in values.items():
            text = text.replace(key, value)
        found[path.name.removesuffix(SUFFIX)] = text.encode()
    return found


def _lent(starter: Starter, task: Task) -> dict[str, bytes]:
    """Weights and architecture of the house player; its training begins from nothing anyway."""
    from arena import house

    lent = house.package(starter.weights, task.name)
    found = {path: lent.files[path] for path in (lent.manifest.weights,)}
    if lent.manifest.architecture:
        found[lent.manifest.architecture] = lent.files[lent.manifest.architecture]
    return _as_arrays(found) if starter.name == "numpy" else found


def _as_arrays(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """Softmax regression's matrix and offsets as ``weights.npz``, for players without torch."""
    import io

    import numpy as np
    from safetensors.numpy import load

    (content,) = (data for path, data in found.items() if path.endswith(".safetensors"))
    tensors = load(content)
    weight = next(t for t in tensors.values() if t.ndim == 2)
    bias = next(t for t in tensors.values() if t.ndim == 1)
    buffer = io.BytesIO()
    np.savez(buffer, w=weight.T, b=bias)
    return {"weights.npz": buffer.getvalue()}


def _of_house(role: Role, template: str, *, name: str, task: Task) -> dict[str, bytes]:
    from arena import house

    if template not in house.names(role):
        raise PackageError(unknown(role, template))
    package = house.package(template, task.name)
    text = package.files["manifest.toml"].decode()
    quoted = re.sub(r'["\\]', "", name)
    renamed = re.sub(r'(?m)^name = ".*"$', f'name = "{quoted}"', text, count=1)
    return dict(package.files) | {"manifest.toml": renamed.encode()}
