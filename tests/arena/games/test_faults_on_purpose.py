"""What a defense that fails on purpose wins, from the match to the boards."""

from __future__ import annotations

from arena.errors import Side
from arena.ranking import CellResult, Player, Records, Tier, attack_board, defense_board
from arena.verdict import Status, Verdict
from tests.arena.fakes import Array, Fakes, Linear, fgsm, play, spec


class RaisesAlone(Linear):
    """Raises at some rows that are asked alone, which are asked again: no answer is lost."""

    def predict(self, x: Array, seeds: Array) -> Array:
        if len(x) == 1 and int(1e5 * x.sum()) % 16 == 0:
            raise RuntimeError("on purpose")
        return super().predict(x, seeds)


ROUND = spec(epsilons=(0.05,), examples=80)


def on_the_boards(verdict: Verdict) -> tuple[float | None, float | None]:
    """Of Alice's attack and Dana's defense, who met in this match alone."""
    alice = Player("alice", "alice", Side.ATTACK)
    dana = Player("dana", "dana", Side.DEFENSE)
    blame = verdict.fault.side if verdict.fault else None
    cell = CellResult("white", "alice", "dana", verdict.status, blame, verdict.kills)
    records = Records([alice, dana], [Tier("white", ROUND)], [cell])
    boards = attack_board(records, "white"), defense_board(records, "white")
    found = [
        board.row(name).contender for board, name in zip(boards, ("alice", "dana"), strict=True)
    ]
    return found[0].estimate, found[1].estimate


def test_a_crash_that_costs_no_answer_takes_no_success_from_the_attack() -> None:
    honest, raising = (play(Fakes(fgsm, model), ROUND) for model in (Linear, RaisesAlone))
    assert raising.status is Status.FORFEIT
    assert raising.fault is not None
    assert raising.fault.side is Side.DEFENSE
    assert raising.metrics["robust_accuracy"] == honest.metrics["robust_accuracy"]
    success, robust = on_the_boards(honest)
    assert success is not None
    assert 0 < success < 1
    assert on_the_boards(raising) == (success, robust)
