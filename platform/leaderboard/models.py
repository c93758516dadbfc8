"""What pages and the API read. ``leaderboard.services`` alone writes it; all can be rebuilt."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from tournaments.models import SIDES, Entry, Match, Round, Tournament


class Cursor(models.Model):
    """How far a reader of the outbox has come. Its row is the lock of the fold.

    ``turn`` rises with every fold and rebuild: whoever drafted before another one wrote can tell.
    """

    name = models.CharField(max_length=40, unique=True)
    position = models.BigIntegerField(default=0)
    turn = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.position}"


class Board(models.Model):
    """One side of one round's tier. ``digest`` is over all its rows: an ETag for readers.

    ``as_of``: the last verdict it holds. ``frozen``: never computed again.
    """

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="boards")
    role = models.CharField(max_length=8, choices=SIDES)
    headline = models.CharField(max_length=40, help_text="Name of the figure it ranks by.")
    title = models.CharField(max_length=120)
    higher_is_better = models.BooleanField(default=True)
    upper_bound = models.BooleanField(
        default=False, help_text="The headline can only fall as attacks arrive."
    )
    examples = models.PositiveIntegerField(default=0)
    floor = models.FloatField(default=0.0)
    pool_version = models.CharField(max_length=16, blank=True)
    as_of = models.DateTimeField(null=True)
    digest = models.CharField(max_length=64)
    frozen = models.BooleanField(default=False)

    class Meta:
        ordering = ["round", "role"]
        constraints = [
            models.UniqueConstraint(fields=["round", "role"], name="one_board_a_round_and_role")
        ]

    def __str__(self) -> str:
        return f"{self.round}: {self.role}"


class Standing(models.Model):
    """One row of a board. ``rank`` is None for provisional rows and those below the floor.

    ``rank_low`` to ``rank_high``: the ranks that the tests leave open. ``position``: the order in
    which rows are shown. ``metrics``: docs/ranking.md, by game and side.
    """

    tournament = models.ForeignKey(Tournament, on_delete=models.CASCADE, related_name="standings")
    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="standings")
    role = models.CharField(max_length=8, choices=SIDES)
    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="standings")
    position = models.PositiveIntegerField()
    rank = models.PositiveIntegerField(null=True)
    rank_low = models.PositiveIntegerField(null=True)
    rank_high = models.PositiveIntegerField(null=True)
    headline = models.FloatField(null=True)
    interval_low = models.FloatField(null=True)
    interval_high = models.FloatField(null=True)
    clean_accuracy = models.FloatField(null=True)
    metrics = models.JSONField(default=dict)
    provisional = models.BooleanField()
    below_floor = models.BooleanField()
    points_lacking = models.FloatField(default=0.0)
    met = models.PositiveIntegerField(help_text="Matches of its pool that have ended.")
    pending = models.PositiveIntegerField(help_text="Matches of its pool still to be played.")
    reasons = models.JSONField(default=list, help_text="Why it has no rank, in sentences.")
    flags = models.JSONField(
        default=list, help_text="Evidence of masked gradients: code, sentence and figures each."
    )
    as_of = models.DateTimeField(null=True)
    pool_version = models.CharField(max_length=16, blank=True)

    class Meta:
        ordering = ["round", "role", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["round", "role", "entry"], name="one_row_an_entry_and_board"
            ),
            models.CheckConstraint(
                condition=Q(provisional=False, below_floor=False) | Q(rank__isnull=True),
                name="only_full_rows_have_a_rank",
            ),
        ]
        indexes = [
            models.Index(fields=["round", "role", "position"]),
            models.Index(fields=["tournament", "entry"]),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.entry}"

    def content(self) -> dict[str, Any]:
        """All that it says, but for its key: what the board's digest is over."""
        return {
            field.attname: getattr(self, field.attname)
            for field in self._meta.concrete_fields
            if field.attname != "id"
        }


class MatrixCell(models.Model):
    """One played cell. A cell that waits, plays or does not apply has its state in its match."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="cells")
    attack = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="+")
    defense = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="+")
    match = models.OneToOneField(Match, on_delete=models.CASCADE, related_name="cell")
    state = models.CharField(max_length=14)
    success = models.FloatField(null=True)
    robust = models.FloatField(null=True)
    metrics = models.JSONField(default=dict)
    verdict = models.BigIntegerField(help_text="Primary key of the verdict it was made from.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["round", "attack", "defense"], name="one_cell_a_pair_and_round"
            )
        ]

    def __str__(self) -> str:
        return f"{self.attack} x {self.defense}"
