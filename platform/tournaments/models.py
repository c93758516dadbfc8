"""Tournament, Round, Entry, Match, Verdict. Services write them, selectors read them."""

from __future__ import annotations

import secrets
from typing import Final

from django.db import models
from django.db.models import Q

from accounts.models import Team, User
from arena.errors import FaultCode, Side
from arena.rounds import POISONED, GameName, RoundSpec, SplitName
from events.identifiers import opaque_id
from submissions.jobs import Job
from submissions.models import ROLES, Submission
from tournaments.states import EntryState, MatchState, Phase

SIDES = [(side.value, side.value.capitalize()) for side in Side]
GAMES = [(game.value, game.value.replace("_", "-").capitalize()) for game in GameName]


def new_secret() -> bytes:
    """From this a round derives seeds and its final split. It never leaves referee and database."""
    return secrets.token_bytes(32)


class Visibility(models.TextChoices):
    PUBLIC = "public", "Everyone may see it"
    PRIVATE = "private", "Only invited teams and organizers may see it"


class Tournament(models.Model):
    """``slug`` is its opaque id in addresses, unless its organizer named it."""

    slug = models.SlugField(max_length=60, unique=True, default=opaque_id)
    title = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    task = models.CharField(max_length=60, help_text="The main task; a round may name another.")
    split = models.CharField(
        max_length=8, choices=[(s.value, s.value) for s in SplitName], default=SplitName.PRACTICE
    )
    secret = models.BinaryField(default=new_secret, editable=False)
    organizers = models.ManyToManyField(User, related_name="organized_tournaments")
    invited = models.ManyToManyField(
        Team, related_name="invitations_to", help_text="Who may see and enter it while private."
    )
    visibility = models.CharField(max_length=8, choices=Visibility, default=Visibility.PUBLIC)
    terms_version = models.CharField(max_length=20, default="1")
    state = models.CharField(max_length=9, choices=Phase, default=Phase.SCHEDULED)
    paused = models.BooleanField(default=False)
    opens_at = models.DateTimeField(null=True, blank=True)
    closes_at = models.DateTimeField(null=True, blank=True, help_text="Entries are due.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=Phase), name="known_tournament_state")
        ]

    def __str__(self) -> str:
        return self.title


class Round(models.Model):
    """One game under one threat model: ``spec`` is an ``arena.rounds.RoundSpec`` as JSON.

    ``house`` names the house players in its pool: {"attacks": [...], "defenses": [...]}
    (poisoners are attacks, learners are defenses). The clock binds with the tournament's.
    """

    uid = models.CharField(max_length=16, unique=True, default=opaque_id, editable=False)
    tournament = models.ForeignKey(Tournament, on_delete=models.CASCADE, related_name="rounds")
    number = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=120)
    spec = models.JSONField()
    game = models.CharField(max_length=32, choices=GAMES)
    weight = models.FloatField(default=1.0)
    house = models.JSONField(default=dict)
    secret = models.BinaryField(default=new_secret, editable=False)
    state = models.CharField(max_length=9, choices=Phase, default=Phase.SCHEDULED)
    opens_at = models.DateTimeField(null=True, blank=True)
    closes_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["tournament", "number"]
        constraints = [
            models.UniqueConstraint(fields=["tournament", "number"], name="round_number_once"),
            models.CheckConstraint(condition=Q(state__in=Phase), name="known_round_state"),
            models.CheckConstraint(condition=Q(weight__gte=0), name="round_weight_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.tournament}: {self.title}"

    @property
    def rules(self) -> RoundSpec:
        """The engine's view of the round."""
        return RoundSpec.from_json(self.spec)

    @property
    def plays_poisoning(self) -> bool:
        """Whether the training data are poisoned: learners against poisoners."""
        return self.game in POISONED


WITHDRAWN: Final = "withdrawn"
NOBODY: Final = "somebody"
"""Name and team of an entry that was withdrawn, as others read them."""


class Entry(models.Model):
    """A submission of a team, or a house player, in a tournament.

    ``role`` is the side it plays; ``player`` what it is (a learner plays the defense's side).
    ``roster`` freezes the team's members (primary keys) when it entered.
    """

    uid = models.CharField(max_length=16, unique=True, default=opaque_id, editable=False)
    tournament = models.ForeignKey(Tournament, on_delete=models.CASCADE, related_name="entries")
    team = models.ForeignKey(
        Team, null=True, blank=True, on_delete=models.PROTECT, related_name="entries"
    )
    submission = models.ForeignKey(
        Submission, null=True, blank=True, on_delete=models.PROTECT, related_name="entries"
    )
    house = models.CharField(max_length=60, blank=True, help_text="Name of the house player.")
    role = models.CharField(max_length=8, choices=SIDES)
    player = models.CharField(max_length=8, choices=ROLES)
    name = models.CharField(max_length=80)
    manifest = models.JSONField(default=dict)
    state = models.CharField(max_length=12, choices=EntryState, default=EntryState.WAITING)
    reason = models.TextField(blank=True, help_text="Why it was refused or disqualified.")
    kept = models.BooleanField(
        default=False, help_text="Superseded, but everyone still meets it: it held a unique kill."
    )
    roster = models.JSONField(default=list)
    entered_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    entered_at = models.DateTimeField(auto_now_add=True)
    active_since = models.DateTimeField(null=True)
    terms_version = models.CharField(max_length=20, blank=True)
    disclosed_at = models.DateTimeField(
        null=True, help_text="When a white-box match first showed its package to another team."
    )

    class Meta:
        ordering = ["entered_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tournament", "team", "player"],
                condition=Q(state="active", team__isnull=False),
                name="one_active_entry_a_team_and_role",
            ),
            models.UniqueConstraint(
                fields=["tournament", "house"],
                condition=~Q(house=""),
                name="house_player_once_a_tournament",
            ),
            models.UniqueConstraint(
                fields=["tournament", "submission"],
                condition=Q(submission__isnull=False),
                name="submission_once_a_tournament",
            ),
            models.CheckConstraint(
                condition=(
                    Q(team__isnull=False, submission__isnull=False, house="")
                    | Q(team__isnull=True, submission__isnull=True) & ~Q(house="")
                ),
                name="entry_of_a_team_or_of_the_house",
            ),
            models.CheckConstraint(condition=Q(state__in=EntryState), name="known_entry_state"),
        ]
        indexes = [models.Index(fields=["tournament", "state", "role"])]

    def __str__(self) -> str:
        return self.name

    @property
    def is_house(self) -> bool:
        return bool(self.house)

    @property
    def team_name(self) -> str:
        """Who enters it, as boards show it."""
        return self.team.name if self.team else "house"

    @property
    def is_withdrawn(self) -> bool:
        return self.state == EntryState.WITHDRAWN

    @property
    def shown_name(self) -> str:
        """Its name for everybody: a withdrawn entry keeps its verdicts, and loses its name."""
        return WITHDRAWN if self.is_withdrawn else self.name

    @property
    def shown_team(self) -> str:
        return NOBODY if self.is_withdrawn else self.team_name


class Match(Job):
    """One attack entry against one defense entry in one round.

    ``beneficiary`` is the team whose arrival made the match necessary (None: the house's): fair
    share counts running time by it. ``priority``: higher plays first within a team.
    """

    uid = models.CharField(max_length=16, unique=True, default=opaque_id, editable=False)
    tournament = models.ForeignKey(Tournament, on_delete=models.CASCADE, related_name="matches")
    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="matches")
    attack = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="attack_matches")
    defense = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="defense_matches")
    beneficiary = models.ForeignKey(Team, null=True, on_delete=models.SET_NULL, related_name="+")
    seed = models.BigIntegerField()
    state = models.CharField(max_length=14, choices=MatchState, default=MatchState.PENDING)
    priority = models.SmallIntegerField(default=0)
    seconds = models.FloatField(default=0.0, help_text="Running time of all its attempts.")
    sentence = models.TextField(
        blank=True, help_text="Why it is not applicable, void or cancelled."
    )
    stopped = models.BooleanField(
        default=False, help_text="An organizer cancelled it: it waits again by their hand alone."
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["round", "attack", "defense"], name="each_pair_once"),
            models.CheckConstraint(condition=Q(state__in=MatchState), name="known_match_state"),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_until__isnull=False),
                name="running_matches_hold_a_lease",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-priority", "id"]),
            models.Index(fields=["tournament", "state"]),
            models.Index(fields=["state", "lease_until"]),
        ]

    @property
    def house_only(self) -> bool:
        """Whether the house plays itself."""
        return self.attack.is_house and self.defense.is_house

    def __str__(self) -> str:
        return f"{self.attack} against {self.defense}"


class Verdict(models.Model):
    """What the referee found: the aggregates of ``arena.verdict.Verdict``. One a match, for good.

    ``files`` is the directory of the attempt that was adopted, under the data directory:
    ``verdict.json``, ``outcome.parquet``, ``images.npz``. Use ``tournaments.files`` to read them.
    """

    match = models.OneToOneField(Match, on_delete=models.CASCADE, related_name="verdict")
    attempt = models.PositiveIntegerField()
    status = models.CharField(max_length=14)
    metrics = models.JSONField(default=dict)
    curve = models.JSONField(default=list)
    kills = models.JSONField(null=True)
    fault_side = models.CharField(max_length=8, blank=True, choices=SIDES)
    fault_code = models.CharField(
        max_length=40, blank=True, choices=[(code.value, code.value) for code in FaultCode]
    )
    fault_sentence = models.TextField(blank=True)
    flags = models.JSONField(default=list)
    provenance = models.JSONField(default=dict)
    logs = models.JSONField(default=dict)
    files = models.CharField(max_length=200)
    outcome_sha256 = models.CharField(
        max_length=64, blank=True, help_text="Of outcome.parquet, as it was when it was adopted."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.status}: {self.match}"
