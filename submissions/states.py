"""The states of a submission and every legal move between them."""

from __future__ import annotations

from django.db.models import TextChoices

from events.machines import table


class SubmissionState(TextChoices):
    QUEUED = "queued", "Waiting for qualification"
    QUALIFYING = "qualifying", "Being qualified"
    QUALIFIED = "qualified", "Qualified"
    REJECTED = "rejected", "Rejected"
    VOID = "void", "Void: our fault"
    CANCELLED = "cancelled", "Cancelled"


_S = SubmissionState

SUBMISSIONS = table(
    SubmissionState,
    {
        _S.QUEUED: (_S.QUALIFYING, _S.CANCELLED),
        # Back to QUEUED: a fault of ours, at most twice.
        _S.QUALIFYING: (_S.QUALIFIED, _S.REJECTED, _S.VOID, _S.QUEUED, _S.CANCELLED),
        _S.VOID: (_S.QUEUED,),
        _S.CANCELLED: (_S.QUEUED,),
    },
)

WAITING = (_S.QUEUED, _S.QUALIFYING)
"""Nothing is known yet."""
NOT_VALID = (_S.REJECTED, _S.CANCELLED)
"""Costs no quota of valid submissions."""
