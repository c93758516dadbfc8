"""What a round of the form is set to where nobody set it: preset, title, ε, poisoned shares
and how many examples.

They follow the game, the task and the norm while they stand as they were filled; what an organizer
changed stays. The page does it at once with its script (``rounds.js``), :func:`follow` on the way
in without. ``usual`` of a round is hidden and says for which choice it was filled last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

from django.http import QueryDict

import arena.house
import arena.tasks
from arena.applicability import WITHOUT_NORM, norms_played, plays_game
from arena.errors import TaskError
from arena.manifest import Manifest, Role
from arena.round_settings import norms_of
from arena.round_switches import knows_seeds
from arena.rounds import MOVES, GameName, Norm, movers_of, norm_for
from arena.tasks.fitting import misfit, usual_task_of
from arena.tasks.usual import (
    EXAMPLES,
    is_bounded,
    usual_epsilons,
    usual_examples,
    usual_preset,
    usual_shares,
)
from web.glossary import BY_SLUG

FIELDS: Final = ("preset", "title", "epsilons", "shares", "examples")
_NORMS: Final = tuple(norm.value for norm in Norm)
_BOUNDS: Final[dict[str, tuple[str, str]]] = {
    "": ("ε, ascending", "Several make a curve: 0.1, 0.2."),
    "l0": ("ε, features", "How many features may change, ascending: 4, 8. A pixel is one."),
    "patch": ("Area of the patch", "Shares of the picture, ascending: 0.05, 0.1."),
    "spatial": ("Turn, degrees", "At most 180, ascending: 15, 30."),
    "corruption": ("Severities", "Of 1 to 5, ascending: 1, 3, 5."),
    "good_words": ("Words added", "How many at most, ascending: 10, 30."),
    "certification": ("Radii", "At which certified accuracy is told, ascending."),
    "backdoor": ("ε of the trigger", "One: the trigger is added. Empty: it is a patch."),
    "targeted_poisoning": (
        "ε of clean labels",
        (
            "One: poison stays so near to points of the training set, and keeps their labels. "
            "Empty: any points."
        ),
    ),
    "trend_poisoning": (
        "Change of a series",
        "In the norm, on the target's scale from 0 to 1; L0 counts points.",
    ),
}
"""How the bound of a round is called and what it means: by game, else by norm."""


@dataclass(frozen=True)
class Choice:
    """What the usual settings hang on; ``task`` is the round's own or the tournament's."""

    game: str
    task: str
    norm: str
    preset: str

    @classmethod
    def read(cls, text: str) -> Self | None:
        """From the hidden field; None where the page never filled it, or it is not ours."""
        parts = text.split("|")
        return cls(*parts) if len(parts) == 4 and parts[0] in list(GameName) else None

    def __str__(self) -> str:
        return f"{self.game}|{self.task}|{self.norm}|{self.preset}"

    def settings(self) -> dict[str, str]:
        """The texts of :data:`FIELDS`."""
        return {
            "preset": usual_preset(self.game),
            "title": title(self.game, self.preset),
            "epsilons": self._epsilons(),
            "shares": _numbers(usual_shares(self.game)),
            "examples": _series(self.task) or str(EXAMPLES),
        }

    def _epsilons(self) -> str:
        if not is_bounded(self.game):
            return ""
        return _epsilons(self.task).get(norm_for(self.game, self.norm), "")


def first(task: str) -> dict[str, str]:
    """The settings of a new round of a tournament on ``task``."""
    game = GameName.EVASION.value
    chosen = Choice(game, task, Norm.LINF.value, usual_preset(game))
    return {**chosen.settings(), "usual": str(chosen)}


def follow(data: QueryDict, prefix: str) -> None:
    """Lets settings that stand as they were filled follow what was chosen since."""
    before = Choice.read(data.get(f"{prefix}-usual", ""))
    game = data.get(f"{prefix}-game", "")
    if before is None or game not in list(GameName):
        return
    task = data.get(f"{prefix}-task", "") or data.get("task", "")
    norm, preset = data.get(f"{prefix}-norm", "linf"), data.get(f"{prefix}-preset", "")
    if preset == usual_preset(before.game) and game != before.game:
        preset = data[f"{prefix}-preset"] = usual_preset(game)
    now = Choice(game, task, norm, preset)
    filled, wanted = before.settings(), now.settings()
    for name in FIELDS[1:]:
        if data.get(f"{prefix}-{name}", "") == filled[name]:
            data[f"{prefix}-{name}"] = wanted[name]
    data[f"{prefix}-usual"] = str(now)


def title(game: str, preset: str) -> str:
    """``White box``, ``Good words``, ``Poisoning, black box``."""
    box = "transfer" if preset == "transfer" else f"{preset} box"
    if game == GameName.EVASION:
        return box.capitalize()
    name = game.replace("_", "-" if game in ("minimum_norm", "attacker_first") else " ")
    return name.capitalize() + ("" if preset == usual_preset(game) else f", {box}")


# --- what the page's script is told ---------------------------------------------------------------


def for_script() -> dict[str, Any]:
    """The same as :meth:`Choice.settings`, as tables; and what to call a round's bound."""
    presets = ("white", "grey", "black", "transfer")
    series = {name: told for name in arena.tasks.names() if (told := _series(name))}
    return {
        "games": {
            game.value: {
                "preset": usual_preset(game),
                "shares": _numbers(usual_shares(game)),
                "bounded": is_bounded(game),
                "norm": norm_for(game, ""),
                "normed": game not in WITHOUT_NORM,
                "norms": [norm.value for norm in norms_of(game)],
                "seeds": knows_seeds(game),
                "movers": [mover.value for mover in movers_of(game)],
                "titles": {preset: title(game, preset) for preset in presets},
                "sentence": BY_SLUG[game.value.replace("_", "-")].short,
                "task": usual_task_of(game),
                "tasks": _fitting(game, tuple(arena.tasks.names())),
            }
            for game in GameName
        },
        "epsilons": {task: _epsilons(task) for task in arena.tasks.names()},
        "examples": {"": str(EXAMPLES), **series},
        "pictures": [name for name in arena.tasks.names() if _has_pictures(name)],
        "moves": sorted(MOVES),
        "bounds": _BOUNDS,
    }


def offered(name: str) -> dict[str, str]:
    """Data of a house player's box: the games, norms and tasks that it plays, what it certifies."""
    return dict(_offered(name, tuple(arena.tasks.names())))


@lru_cache(maxsize=512)
def _offered(name: str, tasks: tuple[str, ...]) -> Mapping[str, str]:
    manifest = arena.house.manifest(name)
    played = [
        task
        for task in tasks
        if manifest.plays_task(task) and arena.house.cannot_play(name, task) is None
    ]
    games = [game.value for game in GameName if plays_game(manifest, game)]
    found: dict[str, Sequence[str]] = {
        "house": games,
        "norms": _played_norms(manifest),
        "tasks": played,
    }
    if manifest.role is Role.DEFENSE:
        found["certifies"] = manifest.certifies
    return {f"data-{key}": " ".join(values) for key, values in found.items()}


def _played_norms(manifest: Manifest) -> Sequence[str]:
    """Of a defense all: what bounds a change is for the attack to keep to."""
    if manifest.role.side == "defense":
        return _NORMS
    return norms_played(manifest.needs)


def _fitting(game: GameName, names: tuple[str, ...]) -> list[str]:
    """Tasks that this game can be played on, those among them that are not on this machine."""
    found = []
    for name in names:
        moves_first = game is GameName.ATTACKER_FIRST
        reason = arena.house.no_weights(arena.house.REFERENCE, name) if moves_first else None
        with suppress(TaskError):
            reason = reason or misfit(arena.tasks.load(name), game)
        if reason is None:
            found.append(name)
    return found


def _epsilons(task: str) -> dict[str, str]:
    """By norm; empty for a task that is none, or is not on this machine."""
    with suppress(TaskError):
        found = arena.tasks.load(task)
        return {norm: _numbers(usual_epsilons(GameName.EVASION, norm, found)) for norm in _NORMS}
    return {}


def _has_pictures(task: str) -> bool:
    """Of a task that is not on this machine nothing is known, so that nothing is hidden."""
    try:
        return arena.tasks.load(task).is_image
    except TaskError:
        return True


def _series(task: str) -> str:
    """How many examples a round on a regression task usually has: series are few, and read fast.
    Empty for others: of a task of classes that is small the check tells."""
    with suppress(TaskError):
        found = arena.tasks.load(task)
        if found.is_regression:
            return str(usual_examples(GameName.TREND_POISONING, found, "practice"))
    return ""


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
