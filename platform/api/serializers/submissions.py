from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers.teams import TeamSerializer
from submissions import selectors
from submissions.models import ROLES, Submission
from submissions.states import WAITING, SubmissionState


class UploadSerializer(serializers.Serializer[Any]):
    """A package to be qualified."""

    archive = serializers.FileField(help_text="The package as a zip.", allow_empty_file=True)
    team = serializers.CharField(
        required=False, max_length=16, help_text="A team of yours; may be left out for your only."
    )
    task = serializers.CharField(
        required=False,
        max_length=60,
        help_text="The task to qualify on; else the manifest's first.",
    )


class SubmissionSerializer(serializers.Serializer[Submission]):
    id = serializers.CharField(source="uid")
    url = serializers.SerializerMethodField(help_text="Where its status is.")
    team = serializers.SerializerMethodField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES)
    task = serializers.CharField()
    sha256 = serializers.CharField(help_text="Over names and contents of its files.")
    bytes = serializers.IntegerField()
    state = serializers.ChoiceField(choices=SubmissionState.choices)
    pending = serializers.SerializerMethodField(help_text="Whether it is still to be judged.")
    sentence = serializers.CharField(help_text="Why it was rejected, or what was found.")
    figures = serializers.DictField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_url(self, row: Submission) -> str:
        return reverse("api:submission", args=[row.uid])

    @extend_schema_field(TeamSerializer)
    def get_team(self, row: Submission) -> dict[str, str]:
        return {"id": row.team.uid, "name": row.team.name}

    def get_pending(self, row: Submission) -> bool:
        return row.state in WAITING


class SubmissionDetailSerializer(SubmissionSerializer):
    manifest = serializers.DictField()
    queue_position = serializers.SerializerMethodField()
    estimated_finish = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField(help_text="stage, done, total, sentence")

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_queue_position(self, row: Submission) -> int | None:
        return selectors.queue_position(row)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_estimated_finish(self, row: Submission) -> Any:
        found = selectors.estimated_finish(row)
        return found and serializers.DateTimeField().to_representation(found)

    @extend_schema_field(serializers.DictField())
    def get_progress(self, row: Submission) -> dict[str, object]:
        return selectors.progress(row)


class LogSerializer(serializers.Serializer[Any]):
    log = serializers.CharField(help_text="Plain text without control characters.")
