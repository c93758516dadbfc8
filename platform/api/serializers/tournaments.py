from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers.named import NamedForViewer
from arena.round_switches import sentence_of
from arena.rounds import GameName, SplitName
from arena.threat_model import PRESET_NAMES
from submissions.models import ROLES
from tournaments import loading
from tournaments.models import SIDES, Entry, Round, Tournament, Visibility
from tournaments.selectors import Place
from tournaments.states import EntryState, Phase


class RoundSerializer(serializers.Serializer[Round]):
    id = serializers.CharField(source="uid")
    tournament = serializers.CharField(source="tournament.slug")
    number = serializers.IntegerField()
    title = serializers.CharField()
    game = serializers.ChoiceField(choices=[game.value for game in GameName])
    threat_model = serializers.CharField(
        source="rules.preset", help_text="The preset's name, or custom."
    )
    sentence = serializers.SerializerMethodField(help_text="The threat model in plain English.")
    spec = serializers.DictField(help_text="All rules; `arena play --round` reads them.")
    weight = serializers.FloatField()
    house = serializers.DictField(help_text="House players in its pool: attacks, defenses.")
    state = serializers.ChoiceField(choices=Phase.choices)
    opens_at = serializers.DateTimeField(allow_null=True)
    closes_at = serializers.DateTimeField(allow_null=True)

    def get_sentence(self, row: Round) -> str:
        return sentence_of(row.rules)


class TournamentSerializer(serializers.Serializer[Tournament]):
    id = serializers.CharField(source="slug")
    title = serializers.CharField()
    description = serializers.CharField()
    task = serializers.CharField()
    split = serializers.CharField()
    visibility = serializers.ChoiceField(choices=Visibility.choices)
    state = serializers.ChoiceField(choices=Phase.choices)
    paused = serializers.BooleanField()
    terms_version = serializers.CharField()
    opens_at = serializers.DateTimeField(allow_null=True)
    closes_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class CountsSerializer(serializers.Serializer[Any]):
    """Matches by state."""

    pending = serializers.IntegerField()
    running = serializers.IntegerField()
    scored = serializers.IntegerField()
    forfeit = serializers.IntegerField()
    void = serializers.IntegerField()
    not_applicable = serializers.IntegerField()


class TournamentDetailSerializer(TournamentSerializer):
    rounds = RoundSerializer(many=True)
    counts = CountsSerializer()
    invited = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="Names of invited teams, for its organizers; null for others.",
    )
    organizers = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="Who runs it, for its organizers; null for others.",
    )


class RoundPlanSerializer(serializers.Serializer[Any]):
    """A round as `tournament load` takes it; every other setting of a round's `spec` too."""

    title = serializers.CharField(max_length=120)
    game = serializers.ChoiceField(choices=[game.value for game in GameName])
    threat_model = serializers.ChoiceField(
        choices=PRESET_NAMES, required=False, help_text="The preset; white without it."
    )
    queries = serializers.IntegerField(
        required=False, help_text="Probes per example, grey and black."
    )
    switches = serializers.DictField(
        required=False, help_text="Single switches that differ from the preset."
    )
    epsilons = serializers.ListField(child=serializers.FloatField(), required=False)
    shifts = serializers.ListField(
        child=serializers.FloatField(),
        required=False,
        help_text="Pixels, one for each epsilon: rounds with norm = spatial.",
    )
    shares = serializers.ListField(child=serializers.FloatField(), required=False)
    attacks = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="House attacks in its pool."
    )
    defenses = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="House defenses in its pool."
    )
    weight = serializers.FloatField(required=False)
    opens_at = serializers.DateTimeField(required=False)
    closes_at = serializers.DateTimeField(required=False)


class TournamentPlanSerializer(serializers.Serializer[Any]):
    """For the description alone: ``tournaments.loading`` reads it, as it reads files."""

    schema_version = serializers.ChoiceField(choices=[loading.SCHEMA_VERSION])
    title = serializers.CharField(max_length=120)
    task = serializers.CharField()
    rounds = RoundPlanSerializer(many=True)
    slug = serializers.CharField(max_length=60, required=False, help_text="Its id.")
    description = serializers.CharField(required=False)
    split = serializers.ChoiceField(choices=list(SplitName), required=False)
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False)
    invited = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Names of teams; private ones."
    )
    organizers = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="Pseudonyms of organizers beside you.",
    )
    opens_at = serializers.DateTimeField(required=False)
    closes_at = serializers.DateTimeField(required=False)
    defaults = serializers.DictField(
        required=False, help_text="For every round that does not say otherwise."
    )


_PHASES: Final = ", ".join(Phase.values)


class MoveSerializer(serializers.Serializer[Any]):
    to = serializers.ChoiceField(
        choices=Phase.choices,
        error_messages={"invalid_choice": "There is no phase {input}: say " + _PHASES + "."},
    )


class ClockSerializer(serializers.Serializer[Any]):
    """What is left out stays; null: when an organizer says so."""

    opens_at = serializers.DateTimeField(required=False, allow_null=True)
    closes_at = serializers.DateTimeField(required=False, allow_null=True)


class InviteSerializer(serializers.Serializer[Any]):
    teams = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=500, help_text="Their names."
    )


class OrganizerSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=40, help_text="An organizer's pseudonym.")


class OrganizersSerializer(serializers.Serializer[Any]):
    organizers = serializers.ListField(child=serializers.CharField())


class PauseSerializer(serializers.Serializer[Any]):
    paused = serializers.BooleanField()


class EntryWishSerializer(serializers.Serializer[Any]):
    tournament = serializers.CharField(max_length=60)
    submission = serializers.CharField(max_length=16, help_text="The submission's id.")


class SupersededSerializer(serializers.Serializer[Place]):
    """An entry that goes, and how many of its matches are not played yet."""

    id = serializers.CharField(source="entry.uid")
    name = serializers.CharField(source="entry.name")
    unplayed = serializers.IntegerField(help_text="Matches that are cancelled when it goes.")


class EntrySerializer(NamedForViewer):
    """``submission``, ``reason`` and ``manifest`` are for its team and the organizers."""

    id = serializers.CharField(source="uid")
    tournament = serializers.CharField(source="tournament.slug")
    name = serializers.SerializerMethodField()
    team = serializers.SerializerMethodField()
    house = serializers.CharField(help_text="Name of the house player, or empty.")
    role = serializers.ChoiceField(choices=SIDES)
    player = serializers.ChoiceField(choices=ROLES)
    state = serializers.ChoiceField(choices=EntryState.choices)
    entered_at = serializers.DateTimeField()
    active_since = serializers.DateTimeField(allow_null=True)
    submission = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    manifest = serializers.SerializerMethodField()

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_submission(self, row: Entry) -> str | None:
        return row.submission.uid if row.submission and self.viewer.knows(row) else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_reason(self, row: Entry) -> str | None:
        return row.reason if self.viewer.knows(row) else None

    @extend_schema_field(serializers.DictField(allow_null=True))
    def get_manifest(self, row: Entry) -> dict[str, Any] | None:
        return row.manifest if self.viewer.knows(row) else None


class EnteredSerializer(EntrySerializer):
    supersedes = serializers.SerializerMethodField(
        help_text="Your team's active entry of the same role, as it stood before; it goes when "
        "this one becomes active.",
    )

    @extend_schema_field(SupersededSerializer(allow_null=True))
    def get_supersedes(self, _row: Entry) -> dict[str, Any] | None:
        place = self.context["supersedes"]
        return None if place is None else SupersededSerializer(place).data
