"""Rounds in which an attack asks nothing: it is crafted once, and judged on every defense.

Without probes and gradients an attack meets no process of the defense. What it receives of it is
what the round's switches show: related models of its declared family, say. Its order of examples
and its seeds hang on exactly that, so that all defenses that show the same meet the same
candidates, whether they were crafted for them or kept from another match.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from arena.games.base import Table
from arena.games.crafted import Crafted
from arena.games.draws import derive
from arena.games.reveal import revealed
from arena.manifest import Manifest
from arena.rounds import GameName, RoundSpec
from arena.seats import Revealed
from arena.threat_model import (
    Architecture,
    DefenseStructure,
    LearningAlgorithm,
    Parameters,
    Randomness,
    ThreatModel,
)

GAMES: Final = frozenset(
    (
        GameName.EVASION,
        GameName.TRANSFER,
        GameName.MINIMUM_NORM,
        GameName.CERTIFICATION,
        GameName.REPLAY,
        GameName.GOOD_WORDS,
    )
)


def shared_facts(
    round_: RoundSpec, defense: Manifest, *, related: Sequence[str]
) -> tuple[Any, ...] | None:
    """What a defense shows of itself in this round; None where an attack may ask something, or
    sees what is this defense's alone. ``related``: names of the house models like it.

    Two defenses of the same facts meet the same candidates of an attack.
    """
    model = round_.threat_model
    its_own = (
        model.structure is DefenseStructure.SOURCE
        or model.architecture is Architecture.GIVEN
        or (model.randomness is Randomness.SEED and defense.stochastic)
    )
    if round_.game not in GAMES or not is_blind(model) or its_own:
        return None
    of_family = model.learning_algorithm is LearningAlgorithm.FAMILY
    described = model.structure is DefenseStructure.DESCRIBED
    return (
        list(related) if model.parameters is Parameters.RELATED else None,
        defense.family if of_family else None,
        defense.description if described else None,
        defense.stochastic if model.randomness is not Randomness.SECRET else None,
    )


def is_blind(model: ThreatModel) -> bool:
    """Nothing can be asked: the defense's process that is attacked is not even started."""
    return model.probes.none and not model.gives_gradients


def play_secret(table: Table) -> bytes:
    """What the attack's order and seeds hang on: the match, or all that a blind one is shown."""
    return blind_secret(table) if is_blind(table.round.threat_model) else table.match_secret


def blind_secret(table: Table) -> bytes:
    """The same for every match whose attack receives the same."""
    shown = revealed(table, np.arange(len(table.examples)))
    return derive(
        table.secret,
        "blind",
        table.attack.sha256,
        json.dumps(table.round.to_json(), sort_keys=True),
        table.task.digest,
        table.examples.index.tobytes(),
        _digest(shown),
    )


def crafting_name(table: Table) -> str:
    """Of what is crafted at this table, without telling what seeds hang on."""
    return derive(blind_secret(table), "name").hex()


def kept_for(table: Table, *, levels: int, shape: tuple[int, ...]) -> Crafted | None:
    """What was crafted before, if it was crafted for just this; ``shape``: of one level."""
    crafted = table.crafted
    if crafted is None or not is_blind(table.round.threat_model):
        return None
    name = crafting_name(table)
    return crafted if crafted.fits(name=name, levels=levels, shape=shape) else None


def _digest(shown: Revealed) -> bytes:
    state = hashlib.sha256()
    for files in (shown.package, shown.architecture, *shown.related):
        state.update(_of_files(files))
    texts = [shown.family, shown.structure, shown.randomness]
    state.update(json.dumps(texts).encode())
    return state.digest()


def _of_files(files: Mapping[str, bytes]) -> bytes:
    names = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return hashlib.sha256(json.dumps(names, sort_keys=True).encode()).digest()
