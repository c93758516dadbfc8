"""``manage.py leaderboard follow|fold|rebuild``."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from leaderboard import following, services


class Command(BaseCommand):
    help = "Keeps the boards: follow (until stopped), fold (what is new), rebuild (everything)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["follow", "fold", "rebuild"])

    def handle(self, *_args: Any, action: str, **_options: Any) -> None:
        if action == "follow":
            self._follow()
        elif action == "fold":
            self.stdout.write(f"{services.fold_all()} events folded.")
        else:
            self.stdout.write(f"{services.rebuild()} rounds rebuilt.")

    def _follow(self) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        following.follow(stop)
