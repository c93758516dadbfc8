"""One package of one team: what it is, where its bytes lie, and what qualification found."""

from __future__ import annotations

from django.db import models

from accounts.models import Team, User
from arena.manifest import Role
from events.identifiers import opaque_id
from submissions.jobs import Job
from submissions.states import SubmissionState

ROLES = [(role.value, role.value.capitalize()) for role in Role]


class Submission(Job):
    """``sha256`` is over names and contents (``arena.packages.Package.sha256``), not over the zip.

    ``task`` is the one it is qualified on; the manifest may name more.
    """

    uid = models.CharField(max_length=16, unique=True, default=opaque_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="submissions")
    uploader = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    role = models.CharField(max_length=8, choices=ROLES)
    sha256 = models.CharField(max_length=64)
    name = models.CharField(max_length=80)
    manifest = models.JSONField()
    task = models.CharField(max_length=60)
    bytes = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    state = models.CharField(max_length=12, choices=SubmissionState, default=SubmissionState.QUEUED)
    sentence = models.TextField(blank=True, help_text="Why it was rejected, or what was found.")
    figures = models.JSONField(default=dict)
    log = models.CharField(max_length=200, blank=True, help_text="Path under the data directory.")

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["team", "sha256"], name="same_package_once_a_team"),
            models.CheckConstraint(
                condition=models.Q(state__in=SubmissionState), name="known_submission_state"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "queued_at"]),
            models.Index(fields=["team", "created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:8]})"

    @property
    def side(self) -> str:
        """``attack`` or ``defense``: the role of its entries."""
        return Role(self.role).side
