from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers.matches import PlayerSerializer
from arena.evidence import Code
from leaderboard.models import Standing
from leaderboard.selectors import BoardView, Matrix
from tournaments.models import SIDES
from tournaments.states import MatchState


class FlagSerializer(serializers.Serializer[Any]):
    """A symptom of masked gradients, a refuted claim, or a note that accuses nobody
    (docs/evidence.md).
    """

    code = serializers.ChoiceField(choices=[code.value for code in Code])
    sentence = serializers.CharField()
    figures = serializers.DictField(help_text="The numbers behind it; rounds and attacks by id.")


class StandingSerializer(serializers.Serializer[Standing]):
    """``rank`` is null for rows without one; ``reasons`` says why."""

    entry = PlayerSerializer()
    position = serializers.IntegerField(help_text="Order of display.")
    rank = serializers.IntegerField(allow_null=True)
    rank_low = serializers.IntegerField(allow_null=True)
    rank_high = serializers.IntegerField(allow_null=True)
    headline = serializers.FloatField(allow_null=True)
    interval_low = serializers.FloatField(allow_null=True)
    interval_high = serializers.FloatField(allow_null=True)
    clean_accuracy = serializers.FloatField(allow_null=True)
    metrics = serializers.SerializerMethodField()
    provisional = serializers.BooleanField()
    below_floor = serializers.BooleanField()
    met = serializers.IntegerField(help_text="Matches of its pool that have ended.")
    pending = serializers.IntegerField(help_text="Matches of its pool still to be played.")
    reasons = serializers.ListField(child=serializers.CharField())
    flags = FlagSerializer(
        many=True,
        help_text="Evidence of masked gradients against a defense, and claims that do not hold.",
    )

    @extend_schema_field(serializers.DictField())
    def get_metrics(self, row: Standing) -> dict[str, Any]:
        """Entries and rounds inside are named by their opaque ids, as everywhere."""
        metrics, known = dict(row.metrics), self.context["strongest"]
        for key, named in (("strongest_attack", known.entries), ("strongest_round", known.rounds)):
            if metrics.get(key):
                found = named.get(metrics[key])
                metrics[key] = found.uid if found else None
        return metrics


class BoardSerializer(serializers.Serializer[BoardView]):
    tournament = serializers.CharField(source="round.tournament.slug")
    round = serializers.CharField(source="round.uid")
    role = serializers.ChoiceField(choices=SIDES)
    headline = serializers.CharField(source="board.headline", help_text="Figure it ranks by.")
    title = serializers.CharField(source="board.title")
    higher_is_better = serializers.BooleanField(source="board.higher_is_better")
    upper_bound = serializers.BooleanField(source="board.upper_bound")
    examples = serializers.IntegerField(source="board.examples")
    floor = serializers.FloatField(source="board.floor")
    pool_version = serializers.CharField(source="board.pool_version")
    as_of = serializers.DateTimeField(allow_null=True)
    frozen = serializers.BooleanField(source="board.frozen")
    rows = StandingSerializer(many=True)


class BoardsSerializer(serializers.Serializer[Any]):
    boards = BoardSerializer(many=True)


class CellSerializer(serializers.Serializer[Any]):
    attack = serializers.CharField()
    defense = serializers.CharField()
    match = serializers.CharField()
    state = serializers.ChoiceField(choices=MatchState.choices)
    success = serializers.FloatField(allow_null=True)
    robust = serializers.FloatField(allow_null=True)


class MatrixSerializer(serializers.Serializer[Matrix]):
    """Rows and columns in the order of the boards; cells that were never planned are absent."""

    attacks = PlayerSerializer(many=True)
    defenses = PlayerSerializer(many=True)
    cells = serializers.SerializerMethodField()

    @extend_schema_field(CellSerializer(many=True))
    def get_cells(self, matrix: Matrix) -> list[dict[str, Any]]:
        uids = {entry.pk: entry.uid for entry in (*matrix.attacks, *matrix.defenses)}
        return [
            {
                "attack": uids[attack],
                "defense": uids[defense],
                "match": cell.match,
                "state": cell.state.value,
                "success": cell.success,
                "robust": cell.robust,
            }
            for (attack, defense), cell in sorted(matrix.cells.items())
        ]
