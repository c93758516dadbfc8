"""Evasion: find x' within the budget such that F(x') ≠ y, or F(x') = t.

Untargeted or targeted, under L∞, L2, L1 or L0, at one epsilon or several. The headline figures are
those of the largest epsilon; several make a curve.
"""

from __future__ import annotations

from arena.games.ball import ball_result, play
from arena.games.base import GameResult, Table
from arena.games.scoring import level_metrics


class Evasion:
    """Probes, gradients and knowledge as the threat model grants them."""

    def play(self, table: Table) -> GameResult:
        scored = play(table, table.round.epsilons)
        return ball_result(table, scored, [level_metrics(level, table) for level in scored.levels])
