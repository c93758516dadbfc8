from __future__ import annotations

from typing import Any

from rest_framework import serializers


class TeamSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()


class QuotaSerializer(serializers.Serializer[Any]):
    """Submissions left today."""

    valid_left = serializers.IntegerField(help_text="That may still be accepted.")
    total_left = serializers.IntegerField(help_text="That may still be uploaded.")
    resets_at = serializers.DateTimeField()


class OwnTeamSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField(help_text="captain or member")
    members = serializers.ListField(child=serializers.CharField(), help_text="Pseudonyms.")
    quota = QuotaSerializer()
    pending_matches = serializers.IntegerField(help_text="Waiting or being played.")
    pending_submissions = serializers.IntegerField(help_text="Not judged yet.")


class MeSerializer(serializers.Serializer[Any]):
    user = serializers.CharField()
    scopes = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="Of the token; null in a session."
    )
    teams = OwnTeamSerializer(many=True)
