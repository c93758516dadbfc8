"""`manage.py clean`: free the disk of packages that nobody will play."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import filesizeformat

from submissions.cleaning import forget_packages


class Command(BaseCommand):
    help = "Removes the packages of submissions that were cancelled or rejected long ago."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=90, help="how long they are kept (90)")
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, *args: Any, days: int, dry_run: bool, **options: Any) -> None:
        if days < 1:
            raise CommandError("--days is a whole number from 1 on.")
        freed = forget_packages(days=days, dry_run=dry_run)
        does = "Would remove" if dry_run else "Removed"
        self.stdout.write(f"{does} {freed.packages} packages, {filesizeformat(freed.bytes)}.")
