from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers.named import NamedForViewer
from arena.errors import FaultCode
from arena.verdict import Status
from tournaments.models import SIDES, Match, Verdict
from tournaments.states import MatchState

OWN_SENTENCES: Final = (MatchState.NOT_APPLICABLE, MatchState.CANCELLED)
"""States whose sentence holds nothing but what the manifests and the organizer say."""


class PlayerSerializer(NamedForViewer):
    """One side of a match."""

    id = serializers.CharField(source="uid")
    name = serializers.SerializerMethodField()
    team = serializers.SerializerMethodField()
    house = serializers.CharField()


class FaultSerializer(serializers.Serializer[Verdict]):
    side = serializers.ChoiceField(choices=SIDES, source="fault_side")
    code = serializers.ChoiceField(choices=[code.value for code in FaultCode], source="fault_code")


class VerdictSerializer(serializers.Serializer[Verdict]):
    status = serializers.ChoiceField(choices=[status.value for status in Status])
    metrics = serializers.DictField(child=serializers.FloatField(allow_null=True))
    fault = serializers.SerializerMethodField()
    flags = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()

    @extend_schema_field(FaultSerializer(allow_null=True))
    def get_fault(self, row: Verdict) -> dict[str, Any] | None:
        return dict(FaultSerializer(row).data) if row.fault_side else None


class MatchSerializer(serializers.Serializer[Match]):
    id = serializers.CharField(source="uid")
    tournament = serializers.CharField(source="tournament.slug")
    round = serializers.CharField(source="round.uid")
    attack = PlayerSerializer()
    defense = PlayerSerializer()
    state = serializers.ChoiceField(choices=MatchState.choices)
    attempt = serializers.IntegerField()
    sentence = serializers.SerializerMethodField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    verdict = serializers.SerializerMethodField()

    def get_sentence(self, row: Match) -> str:
        """Of a void match only that it is void: the rest is for organizers."""
        if row.state in OWN_SENTENCES:
            return row.sentence
        return MatchState.VOID.label if row.state == MatchState.VOID else ""

    @extend_schema_field(VerdictSerializer(allow_null=True))
    def get_verdict(self, row: Match) -> dict[str, Any] | None:
        verdict = getattr(row, "verdict", None)
        return None if verdict is None else dict(VerdictSerializer(verdict).data)


class MatchDetailSerializer(MatchSerializer):
    """``fault_sentence``: in full for those who may read that side's log, else in fixed words."""

    curve = serializers.SerializerMethodField(help_text="One object per epsilon or share.")
    provenance = serializers.SerializerMethodField(
        help_text="Versions, digests, seeds and what the game noted; before you may have the "
        "outcome, without what could tell players or examples."
    )
    fault_sentence = serializers.SerializerMethodField()
    downloads = serializers.SerializerMethodField(help_text="What you may fetch of it.")
    outcome_sha256 = serializers.SerializerMethodField(
        help_text="Of the file under `downloads.outcome`, in hexadecimal; null for those who may "
        "not have it before the round is closed, and for verdicts that are older than this."
    )
    progress = serializers.SerializerMethodField(help_text="stage, done, total, sentence")

    @extend_schema_field(serializers.ListField(child=serializers.DictField()))
    def get_curve(self, row: Match) -> list[Any]:
        verdict = getattr(row, "verdict", None)
        return [] if verdict is None else list(verdict.curve)

    @extend_schema_field(serializers.DictField())
    def get_provenance(self, row: Match) -> dict[str, Any]:
        return dict(self.context["provenance"])

    def get_fault_sentence(self, row: Match) -> str:
        return str(self.context["fault_sentence"])

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_downloads(self, row: Match) -> dict[str, str]:
        return dict(self.context["downloads"])

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_outcome_sha256(self, row: Match) -> str | None:
        return self.context["outcome_sha256"] or None

    @extend_schema_field(serializers.DictField())
    def get_progress(self, row: Match) -> dict[str, Any]:
        return dict(self.context["progress"])
