"""Follows the outbox: what the supervisor runs beside workers and reaper."""

from __future__ import annotations

import logging
import threading
from typing import Final

from django.db import DatabaseError, close_old_connections, connection

from leaderboard.services import fold_once

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
"""An idle look is one indexed query. Verdicts stand on the board about a second after them."""
RETRY_SECONDS: Final = 2.0


def follow(stop: threading.Event) -> None:
    """Fold until ``stop`` is set. A database that is away is waited for."""
    while not stop.is_set():
        try:
            read = fold_once()
        except DatabaseError as error:
            logger.warning("The boards wait for the database: %s", error)
            connection.close()
            stop.wait(RETRY_SECONDS)
            continue
        if not read:
            close_old_connections()
            stop.wait(POLL_SECONDS)
