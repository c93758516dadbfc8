"""What a service raises when the rules refuse a request; ``str(error)`` is a sentence for people.

Refused
├── NotAllowed       this reader may not do that (API: 403)
├── NotThere         no such thing, or none that this reader may know of (404)
├── Conflict         not in this state, or not twice (409)
├── Invalid          a value that cannot be (422)
└── QuotaExceeded    not today any more (429); ``resets_at`` says when
"""

from __future__ import annotations

from datetime import datetime


class Refused(Exception):
    """Base of every refusal."""


class NotAllowed(Refused):
    """This person may not do that."""


class NotThere(Refused):
    """No such thing, or none that this person may know of."""


class Conflict(Refused):
    """Not in this state, or not twice."""


class Invalid(Refused):
    """A value that cannot be."""


class QuotaExceeded(Refused):
    """The team has used up what a day allows."""

    def __init__(self, message: str, *, resets_at: datetime) -> None:
        super().__init__(message)
        self.resets_at = resets_at
