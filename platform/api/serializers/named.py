from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers.teams import TeamSerializer
from tournaments.models import Entry
from tournaments.viewer import Viewer


class NamedForViewer(serializers.Serializer[Entry]):
    """Of what shows an entry with its ``name`` and ``team`` as its reader may know them."""

    @property
    def viewer(self) -> Viewer:
        viewer = self.context["viewer"]
        assert isinstance(viewer, Viewer)
        return viewer

    def get_name(self, row: Entry) -> str:
        return self.viewer.name_of(row)

    @extend_schema_field(TeamSerializer(allow_null=True))
    def get_team(self, row: Entry) -> dict[str, str] | None:
        return self.viewer.team_of(row)
