"""`manage.py reaper`: finds overdue matches and lost messages, for ever."""

from __future__ import annotations

import logging
import signal
import threading
from argparse import ArgumentParser
from types import FrameType

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, connection

from tournaments import reaping

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Requeues or voids what is overdue and re-sends lost messages. Any number may run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="one sweep, then end")

    def handle(self, *, once: bool = False, **options: object) -> None:
        stop = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        while not stop.is_set():
            sweep_or_wait()
            if once:
                return
            stop.wait(settings.REAPER_SECONDS)


def sweep_or_wait() -> None:
    """A database that is away is waited for; anything else ends the loop, and its supervisor
    starts it anew."""
    try:
        reaping.sweep()
    except (OperationalError, InterfaceError) as error:
        connection.close()
        logger.warning("The database is away: %s", error)
