"""Whether an error means that the database cannot be reached, and not that a query was wrong."""

from __future__ import annotations

import sqlite3
from typing import Final

from django.db import InterfaceError, OperationalError

RETRY_SECONDS: Final = 10
"""When it is worth while to ask again: a restart of PostgreSQL takes a few seconds."""

_CONNECTION_CLASS: Final = "08"
_SENT_AWAY: Final = ("57P01", "57P02", "57P03", "53300")
"""Shut down, crashed, starting up, too many connections (PostgreSQL, appendix A)."""


def database_is_away(error: BaseException | None) -> bool:
    """``error`` as Django raises it, with the driver's own as its cause."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_CANTOPEN
    state = getattr(cause, "sqlstate", None)
    if state is None:  # no server answered; a driver used wrongly raises an InterfaceError
        return isinstance(error, OperationalError)
    return str(state).startswith(_CONNECTION_CLASS) or state in _SENT_AWAY
