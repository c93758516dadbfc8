"""Players in seats that no jail surrounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arena.errors import (
    FaultCode,
    PlayerError,
    Side,
)
from arena.rounds import Limits
from arena.sandbox.attack_seat import JailedAttack
from arena.sandbox.defense_seat import JailedDefense
from arena.seats import Revealed
from arena.wire import Op, Trusting
from tests.arena.sandbox.players import (
    BRIEF,
    Service,
    Unjailed,
    attack,
    defense,
    images,
    seats,
)

NOTHING = Revealed()
ANY = {op: Trusting() for op in Op}
"""What the end of a liar takes."""


def dana(unjailed: Unjailed, body: str, manifest: str = "", **options: Any) -> JailedDefense:
    limits = Limits(**options)
    player = defense(body, manifest)
    return seats(defense=player, backend=unjailed, defense_limits=limits).open_defense()


def alice(unjailed: Unjailed, body: str, **options: Any) -> JailedAttack:
    limits = Limits(**{k: options.pop(k) for k in list(options) if k.endswith("_seconds")})
    revealed = options.pop("revealed", NOTHING)
    table = seats(attack=attack(body), backend=unjailed, attack_limits=limits, **options)
    return table.open_attack(revealed)


def blamed(error: pytest.ExceptionInfo[PlayerError]) -> tuple[Side, FaultCode]:
    assert str(error.value).endswith(".")
    return error.value.side, error.value.code


def evade(seat: JailedAttack, service: Service | None = None, x: Any = None) -> Any:
    x = images() if x is None else x
    arrays = {"x": x, "y": np.arange(len(x)) % 3}
    return seat.evade(BRIEF, arrays, service or Service())
