"""The outbox: one row for everything that happened, never changed and never deleted."""

from __future__ import annotations

from typing import Any

from django.db import models


class Audience(models.TextChoices):
    """Who may read an event. Administrators read all."""

    PUBLIC = "public", "Everyone"
    TOURNAMENT = "tournament", "Everyone in the tournament"
    TEAM = "team", "The team, and the tournament's organizers"
    ORGANIZERS = "organizers", "The tournament's organizers"


class Event(models.Model):
    """``id`` rises in the order of commits, so that a cursor never skips one.

    ``tournament``, ``team`` and ``subject`` are primary keys, not foreign keys: the outbox is the
    lowest layer and outlives what it tells of. ``payload`` names things by their opaque ids and
    holds only what the whole audience may read.
    """

    kind = models.CharField(max_length=60)
    audience = models.CharField(max_length=12, choices=Audience)
    tournament = models.BigIntegerField(null=True)
    team = models.BigIntegerField(null=True)
    subject = models.BigIntegerField(null=True)
    payload = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["tournament", "id"]),
            models.Index(fields=["team", "id"]),
            models.Index(fields=["kind", "id"]),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(audience__in=Audience), name="known_audience"
            ),
            models.CheckConstraint(
                condition=~models.Q(audience="team") | models.Q(team__isnull=False),
                name="team_events_name_a_team",
            ),
            models.CheckConstraint(
                condition=~models.Q(audience__in=["tournament", "organizers"])
                | models.Q(tournament__isnull=False),
                name="tournament_events_name_a_tournament",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.kind}"

    def public_json(self) -> dict[str, Any]:
        """What a stream sends."""
        return {"id": self.id, "kind": self.kind, "at": self.at.isoformat(), **self.payload}
