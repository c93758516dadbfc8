"""`manage.py demo`: a whole tournament on this machine, watched from its first second."""

from __future__ import annotations

import json
import os
import secrets
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from accounts.models import Team, User
from accounts.services import create_team, sign_up
from config.serving import TICK_SECONDS, Site, Stop, require_free
from tournaments import loading, selectors, services
from tournaments.models import Tournament
from tournaments.states import Phase

FILE: Final = Path(__file__).resolve().parents[2] / "demo.toml"
SLUG: Final = "demo"
ORGANIZER: Final = "oscar"
TEAMS: Final = {"alice": "Gradient Descenders", "dana": "Moat and Drawbridge"}


class Command(BaseCommand):
    help = "Plays the demonstration tournament and serves it; a second run goes on where it was."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--file", type=Path, default=FILE, help="another tournament's file")
        parser.add_argument(
            "--exit-when-done", action="store_true", help="end when the last match has ended"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        console, stop = Console(), Stop()
        require_free(options["host"], options["port"])
        call_command("migrate", interactive=False, verbosity=0)
        with Site(host=options["host"], port=options["port"]) as site:
            passwords = people()
            tournament = demo_tournament(options["file"])
            greet(console, site, passwords)
            watch(console, site, tournament, stop)
            if options["exit_when_done"]:
                return
            console.print(f"Still serving {site.address}. Ctrl-C ends it.")
            while not stop.wait(TICK_SECONDS):
                site.tend()


# --- what it begins with ------------------------------------------------------------------------


def people() -> dict[str, str]:
    """An organizer and two teams; their passwords, kept so that a second run can print them."""
    file = Path(settings.DATA) / "demo-passwords.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    for name in (ORGANIZER, *TEAMS):
        if not User.objects.filter(username=name).exists():
            known[name] = secrets.token_urlsafe(9)
            sign_up(username=name, email=f"{name}@example.org", password=known[name])
    file.touch(mode=0o600)
    file.write_text(json.dumps(known))
    User.objects.filter(username=ORGANIZER).update(is_organizer=True)
    for name, team in TEAMS.items():
        if not Team.objects.filter(name=team).exists():
            create_team(user=User.objects.get(username=name), name=team)
    return known


def demo_tournament(file: Path) -> Tournament:
    plan = loading.read(file)
    found = Tournament.objects.filter(slug=plan.slug).first()
    if found is not None:
        return found
    organizer = User.objects.get(username=ORGANIZER)
    tournament = services.create(plan, organizer=organizer)
    return services.move(tournament=tournament, to=Phase.OPEN, organizer=organizer)


# --- what is shown ------------------------------------------------------------------------------


def greet(console: Console, site: Site, passwords: dict[str, str]) -> None:
    console.print(f"\n[bold]Adversarium[/bold] is served at [link]{site.address}[/link]\n")
    for name, password in passwords.items():
        what = "organizer" if name == ORGANIZER else f"team {TEAMS.get(name, '')}"
        console.print(f"  {name:8} {password:14} {what}", highlight=False, markup=False)
    console.print(f"\n  logs in {site.logs}\n", highlight=False, markup=False)
    if site.jail is not None and not site.jail.guests:
        console.print(f"[yellow]Guests are refused on this machine:[/yellow] {site.jail.sentence}")


def watch(console: Console, site: Site, tournament: Tournament, stop: Stop) -> None:
    """The bar, until the last match has ended (or Ctrl-C)."""
    began = time.monotonic()
    bar = Progress(
        TextColumn("[bold]Matches"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
    )
    task = bar.add_task("", total=None)
    with Live(bar, console=console, refresh_per_second=4):
        while not stop.wait(TICK_SECONDS):
            site.tend()
            counts = selectors.counts(tournament)
            left = counts.pending + counts.running
            bar.update(
                task,
                completed=counts.total - left,
                total=counts.total,
                description=_now_playing(tournament),
            )
            if not left:
                break
    connection.close()
    if not stop:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        counts = selectors.counts(tournament)
        console.print(
            f"{counts.scored} matches scored, {counts.forfeit} forfeited, {counts.void} void, "
            f"{counts.not_applicable} pairs cannot meet; {minutes} min {seconds:02d} s."
        )


def _now_playing(tournament: Tournament) -> str:
    """The matches under way, as far as the terminal is wide."""
    running = selectors.matches_of(tournament).filter(state="running").order_by("started_at")[:4]
    names = (f"{match.attack.name} × {match.defense.name}" for match in running)
    return ", ".join(names)[: max(20, _columns() - 50)]


def _columns() -> int:
    try:
        return os.get_terminal_size().columns
    except OSError:
        return 100
