"""Commands that talk to a server, through :mod:`arena.client`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from arena.cli import boards
from arena.cli.console import print_json, say, table
from arena.cli.exits import ExitCode, Stop
from arena.cli.verdicts import print_finding
from arena.cli.waiting import Clock, wait_for_matches, wait_for_submission

if TYPE_CHECKING:
    from arena.client import Client, EntryBody, SubmissionBody, SupersededBody

auth = typer.Typer(name="auth", help="Your token.", no_args_is_help=True)
Server = Annotated[
    str | None, typer.Option("--server", help="Its address; else ARENA_URL, else the last login.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait at most.")]
LONG: Final = 3600.0
RECENT: Final = 20


def register(app: typer.Typer) -> None:
    app.add_typer(auth, name="auth")
    commands: tuple[Callable[..., Any], ...] = (submit, enter, withdraw, cancel, status, logs)
    for command in commands:
        app.command(command.__name__)(command)
    app.command("leaderboard")(boards.leaderboard)
    app.command("check")(boards.check)


def connect(server: str | None) -> Client:
    from arena import client

    address = client.chosen_server(server)
    return client.Client(address, token=client.token_for(address))


# --- the token ------------------------------------------------------------------------------------


@auth.callback()
def _auth() -> None:
    """Your token."""


@auth.command("login")
def login(
    *,
    server: Server = None,
    with_token: Annotated[
        bool, typer.Option("--with-token", help="Read the token from stdin.")
    ] = False,
) -> None:
    """Keep a token (made on your account page) in ~/.config/arena/token, readable by you alone."""
    from arena import client

    address = client.chosen_server(server)
    if address.startswith("http://") and not _local(address):
        say(f"Warning: {address} is not encrypted; others on the way can read the token.")
    token = sys.stdin.readline() if with_token else typer.prompt("Token", hide_input=True)
    token = token.strip()
    if not token or not token.isprintable() or " " in token:
        raise Stop(ExitCode.USAGE, "This is no token.")
    with client.Client(address, token=token) as arena:
        me = arena.me()
    path = client.store(address, token)
    say(f"Logged in to {address} as {me['user']}; the token is in {path}.")


def _local(address: str) -> bool:
    from urllib.parse import urlsplit

    return urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")


@auth.command("status")
def auth_status(*, server: Server = None, json: Json = False) -> None:
    """Who you are, your teams, and what they have left today."""
    with connect(server) as arena:
        me = arena.me()
        address = arena.server
    if json:
        print_json(me)
        return
    say(f"{me['user']} on {address}")
    rows = [
        (
            team["name"],
            team["id"],
            team["role"],
            team["quota"]["valid_left"],
            team["pending_submissions"],
            team["pending_matches"],
        )
        for team in me["teams"]
    ]
    table(("Team", "Id", "You are", "Left today", "In qualification", "Matches to come"), rows)


@auth.command("logout")
def logout(*, server: Server = None) -> None:
    """Forget the token. Revoke it on your account page if others may have seen it."""
    from arena import client

    address = client.chosen_server(server)
    client.store(address, "")
    say(f"The token of {address} is forgotten.")


# --- submissions ----------------------------------------------------------------------------------


def submit(
    package: Annotated[Path, typer.Argument(help="A package: folder or zip.")],
    *,
    enter: Annotated[
        str | None, typer.Option("--enter", help="Enter it in this tournament too.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is judged; with --enter, until it played.")
    ] = False,
    team: Annotated[str, typer.Option(help="A team's id, if you are in several.")] = "",
    task: Annotated[str, typer.Option(help="The task to qualify on.")] = "",
    timeout: Timeout = LONG,
    server: Server = None,
    json: Json = False,
) -> None:
    """Upload PACKAGE.

    Exit status: 0 ok (with --wait: qualified), 4 rejected, 6 nothing decided in time.
    """
    from arena.cli.rules import package_at

    archive = package_at(package).to_zip()
    clock = Clock(timeout)
    with connect(server) as arena:
        if enter:
            arena.tournament(enter)  # before an upload of the day's is spent on a misspelt name
        row = arena.submit(archive, team=team, task=task)
        entered = arena.enter(enter, row["id"]) if enter else None
        entry: EntryBody | None = entered
        if wait:
            row = wait_for_submission(arena, row["id"], clock)
            if entry is not None:
                if row["state"] == "qualified":
                    wait_for_matches(arena, clock, entry=entry["id"])
                entry = arena.entry(entry["id"])
    if json:
        print_json({"submission": row, "entry": entry})
    else:
        _tell(row)
        if entry is not None and entered is not None:
            _tell_entry(entry, entered.get("supersedes"))
    raise typer.Exit(_code(row, waited=wait))


def _code(row: SubmissionBody, *, waited: bool) -> ExitCode:
    if not waited or row["state"] == "qualified":
        return ExitCode.OK
    return ExitCode.OUR_FAULT if row["state"] == "void" else ExitCode.REJECTED


def _tell(row: SubmissionBody) -> None:
    say(f"{row['id']}  {row['name']} ({row['role']}, {row['task']}): {row['state']}")
    if row["sentence"]:
        say(row["sentence"])
    print_finding(row["figures"])


def enter(
    tournament: Annotated[str, typer.Argument(help="Its id, as in its address.")],
    submission: Annotated[str, typer.Argument(help="A submission's id.")],
    *,
    server: Server = None,
    json: Json = False,
) -> None:
    """Enter a submission in a tournament, and accept its terms."""
    with connect(server) as arena:
        entry = arena.enter(tournament, submission)
    if json:
        print_json(entry)
    else:
        _tell_entry(entry, entry.get("supersedes"))


def _tell_entry(entry: EntryBody, old: SupersededBody | None) -> None:
    say(f"Entry {entry['id']} in {entry['tournament']}: {entry['state']}")
    if old is None or entry["state"] not in ("active", "waiting"):
        return
    later = "" if entry["state"] == "active" else ", once it has qualified,"
    matches = "1 match" if old["unplayed"] == 1 else f"{old['unplayed']} matches"
    say(
        f"It{later} supersedes {old['name']} ({old['id']}), which had {matches} still to play; "
        "what it has not played is cancelled."
    )


def withdraw(
    entry: Annotated[str, typer.Argument(help="An entry's id.")], *, server: Server = None
) -> None:
    """Take an entry out; its past verdicts stay, named "withdrawn"."""
    with connect(server) as arena:
        row = arena.withdraw(entry)
    say(f"Entry {row['id']}: {row['state']}")


def cancel(
    submission: Annotated[str, typer.Argument(help="A submission's id.")], *, server: Server = None
) -> None:
    """Take a waiting submission out of the queue; its quota is given back."""
    with connect(server) as arena:
        row = arena.cancel(submission)
    say(f"Submission {row['id']}: {row['state']}")


def status(
    submission: Annotated[str | None, typer.Argument(help="A submission's id.")] = None,
    *,
    server: Server = None,
    json: Json = False,
) -> None:
    """Say how a submission stands; without an id, list the latest."""
    from itertools import islice

    with connect(server) as arena:
        rows = list(islice(arena.submissions(), RECENT)) if submission is None else []
        row = None if submission is None else arena.submission(submission)
    if json:
        print_json(rows if row is None else row)
    elif row is not None:
        _tell(row)
    else:
        columns = ("Id", "Name", "Role", "Task", "State", "Uploaded", "")
        table(
            columns,
            [
                (r["id"], r["name"], r["role"], r["task"], r["state"], _time(r), r["sentence"])
                for r in rows
            ],
        )


def _time(row: SubmissionBody) -> str:
    return row["created_at"][:16].replace("T", " ")


def logs(
    id: Annotated[str, typer.Argument(help="A submission's id; with --side, a match's.")],  # noqa: A002
    *,
    side: Annotated[
        str | None, typer.Option(help="attack or defense: what that side printed in a match.")
    ] = None,
    server: Server = None,
) -> None:
    """Print the log of a qualification, or of one side of a match."""
    with connect(server) as arena:
        text = arena.submission_log(id) if side is None else arena.match_log(id, side)
    say(text)
