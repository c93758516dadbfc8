"""Users under pseudonyms, their teams, and the secrets that let somebody in (kept as hashes)."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from events.identifiers import opaque_id


class User(AbstractUser):
    """``username`` is a pseudonym, all that others ever see; the address stays private."""

    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    username = models.CharField(
        "pseudonym",
        max_length=40,
        unique=True,
        validators=[
            RegexValidator(
                r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z",
                "Use letters, digits, '_', '-' and '.', beginning with a letter or digit.",
            )
        ],
        error_messages={"unique": "This pseudonym is taken."},
    )
    email = models.EmailField("email address")
    is_organizer = models.BooleanField(
        default=False, help_text="May make tournaments. Granted by administrators."
    )

    objects: ClassVar[UserManager[User]] = UserManager()  # type: ignore[assignment]

    known: dict[str, frozenset[int]] | None = None
    """Within a request that changes nothing: what was asked of this user already, by its name."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="one_account_an_address",
                violation_error_message="There is an account with this address already.",
            ),
            models.UniqueConstraint(
                Lower("username"),
                name="one_account_a_pseudonym",
                violation_error_message="This pseudonym is taken.",
            ),
        ]

    def __str__(self) -> str:
        return self.username

    def get_full_name(self) -> str:
        return self.username

    def get_short_name(self) -> str:
        return self.username


class Team(models.Model):
    uid = models.CharField(max_length=16, unique=True, default=opaque_id, editable=False)
    name = models.CharField(max_length=60)
    members = models.ManyToManyField(User, through="Membership", related_name="teams")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="one_team_a_name",
                violation_error_message="There is a team of this name already.",
            )
        ]

    def __str__(self) -> str:
        return self.name


class TeamRole(models.TextChoices):
    CAPTAIN = "captain", "Captain"
    MEMBER = "member", "Member"


class Membership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=TeamRole, default=TeamRole.MEMBER)
    joined_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["joined_at"]
        constraints = [
            models.UniqueConstraint(fields=["team", "user"], name="member_once"),
            models.UniqueConstraint(
                fields=["team"], condition=models.Q(role="captain"), name="one_captain_a_team"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"


class Invitation(models.Model):
    """A link that lets one person into a team, once. The token itself is never stored."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    used_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"invitation to {self.team}"

    @property
    def is_open(self) -> bool:
        return self.used_at is None and self.revoked_at is None and self.expires_at > timezone.now()


class Scope(models.TextChoices):
    """What a token lets its holder do."""

    READ = "read", "Read what you may read"
    SUBMIT = "submit", "Upload and cancel submissions"
    ENTER = "enter", "Enter and withdraw"
    ORGANIZE = "organize", "Run your tournaments"


class ApiToken(models.Model):
    """A bot's key: shown once, kept as a hash. It can do no more than its user."""

    uid = models.CharField(max_length=16, unique=True, default=opaque_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=60)
    token_hash = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12, help_text="The beginning, to tell tokens apart.")
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None and self.expires_at > timezone.now()

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes
