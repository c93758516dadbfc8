"""``arena leaderboard`` and ``arena check``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from arena.cli.console import percent, print_json, say, table
from arena.cli.exits import ExitCode, Stop
from arena.cli.waiting import Clock, wait_for_matches

if TYPE_CHECKING:
    from arena.client import BoardBody, Client, PlayerBody, StandingBody

Server = Annotated[
    str | None, typer.Option("--server", help="Its address; else ARENA_URL, else the last login.")
]
MOST_NAMES: Final = 5
"""Of teams, in a sentence."""
MOST_LETTERS: Final = 80
"""Of an unknown name that is compared with the known ones."""
ON_BOARDS: Final = ("open", "playing", "published", "frozen")


def leaderboard(
    tournament: Annotated[str, typer.Argument(help="Its id, as in its address.")],
    *,
    round_: Annotated[str | None, typer.Option("--round", help="One round's id.")] = None,
    role: Annotated[str | None, typer.Option(help="attack or defense.")] = None,
    server: Server = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Print the boards of TOURNAMENT."""
    from arena.cli.site import connect

    filters = {key: value for key, value in (("round", round_), ("role", role)) if value}
    with connect(server) as arena:
        boards = arena.standings(tournament, **filters)
        titles = _titles(arena, tournament)
    if json:
        print_json(boards)
        return
    if not boards:
        say("No match of this tournament has ended yet.")
    for board in boards:
        heading = f"{titles.get(board['round'], '')}: {board['title']}"
        columns = ("Rank", "Player", "Team", board["headline"], "95 % interval", "Clean", "Played")
        table(columns, [_row(row, board) for row in board["rows"]], title=heading)


def _row(row: StandingBody, board: BoardBody) -> tuple[object, ...]:
    share = "distance" not in board["headline"]
    shown = percent if share else (lambda value: "–" if value is None else f"{value:.3f}")
    interval = ""
    if row["interval_low"] is not None and row["interval_high"] is not None:
        interval = f"{shown(row['interval_low'])} to {shown(row['interval_high'])}"
    return (
        _rank(row),
        row["entry"]["name"],
        owner(row["entry"]),
        shown(row["headline"]),
        interval,
        percent(row["clean_accuracy"]),
        f"{row['met']} of {row['met'] + row['pending']}",
    )


def _rank(row: StandingBody) -> str:
    if row["rank"] is None:
        return "provisional" if row["provisional"] else "below floor"
    low, high = row["rank_low"], row["rank_high"]
    return str(row["rank"]) if low == high else f"{row['rank']} ({low} to {high})"


def owner(player: PlayerBody) -> str:
    if player["house"]:
        return "house"
    return player["team"]["name"] if player["team"] else "–"


# --- check ----------------------------------------------------------------------------------------


def check(
    *,
    team: Annotated[str, typer.Option(help="A team's name or id.")],
    max_rank: Annotated[int, typer.Option(help="The worst rank that passes.")],
    tournament: Annotated[
        str | None, typer.Option(help="One tournament's id; else all that the team is ranked in.")
    ] = None,
    round_: Annotated[str | None, typer.Option("--round", help="One round's id.")] = None,
    role: Annotated[str | None, typer.Option(help="attack or defense.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 3600.0,
    server: Server = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Wait until nothing of TEAM is pending, then fail if it ranks below --max-rank anywhere.

    Made for CI jobs. Exit status: 0 every row of the team has a rank up to --max-rank, 1 one has
    not (or none at all), 6 matches were still to be played.
    """
    from arena.cli.site import connect

    filters = {key: value for key, value in (("round", round_), ("role", role)) if value}
    clock = Clock(timeout)
    with connect(server) as arena:
        slugs = [tournament] if tournament else _slugs(arena)
        rows = [row for slug in slugs for row in _settled(arena, slug, team, filters, clock)]
        played = {board["tournament"] for board, _ in rows}
        titles = {uid: title for slug in played for uid, title in _titles(arena, slug).items()}
        if not rows:
            raise Stop(ExitCode.FAILED, _on_no_board(arena, slugs, team))
    bad = [found for found in rows if not _passes(found[1], max_rank)]
    if json:
        print_json([{"tournament": b["tournament"], "round": b["round"], "role": b["role"], **r}
                    for b, r in rows])  # fmt: skip
    else:
        columns = ("Tournament", "Round", "Board", "Player", "Rank", "Passes")
        table(
            columns,
            [
                (
                    b["tournament"],
                    titles.get(b["round"], ""),
                    b["title"],
                    r["entry"]["name"],
                    _rank(r),
                    _passes(r, max_rank),
                )
                for b, r in rows
            ],
        )
    raise typer.Exit(ExitCode.FAILED if bad else ExitCode.OK)


def _on_no_board(arena: Client, slugs: list[str], team: str) -> str:
    """Whether it has entered at all; if not, with those nearest in name that have."""
    owners = [entry["team"] for slug in slugs for entry in arena.entries(slug) if entry["team"]]
    if any(_is_of(owner, team) for owner in owners):
        return f"{team} is on no board."
    names = sorted({str(owner["name"]) for owner in owners})
    near = difflib.get_close_matches(team[:MOST_LETTERS], names, n=MOST_NAMES, cutoff=0.0)
    more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
    told = f"teams that have are {', '.join(near)}{more}" if near else "no team has"
    return f"{team} is on no board: no team of that name or id has entered; {told}."


def _titles(arena: Client, slug: str) -> dict[str, str]:
    """Of a tournament's rounds, by id."""
    return {str(r["id"]): str(r["title"]) for r in arena.tournament(slug)["rounds"]}


def _passes(row: StandingBody, most: int) -> bool:
    return row["rank"] is not None and row["rank"] <= most


def _slugs(arena: Client) -> list[str]:
    return [str(t["id"]) for t in arena.tournaments() if t["state"] in ON_BOARDS]


def _settled(
    arena: Client, slug: str, team: str, filters: dict[str, str], clock: Clock
) -> list[tuple[BoardBody, StandingBody]]:
    """The team's rows once its entries are judged, its matches played and the boards folded."""
    while True:
        mine = [e for e in arena.entries(slug) if _is_of(e["team"], team)]
        if not mine:
            return []
        uid = next(e["team"]["id"] for e in mine if e["team"])
        wait_for_matches(arena, clock, tournament=slug, team=uid)
        rows = list(_rows_of(arena.standings(slug, **filters), uid))
        waits = any(entry["state"] == "waiting" for entry in mine)
        if not waits and not any(row["pending"] for _, row in rows):
            return rows
        clock.wait(f"{team} has entries or board rows that are not settled")


def _is_of(owner: object, team: str) -> bool:
    if not isinstance(owner, dict):
        return False
    return owner["id"] == team or str(owner["name"]).casefold() == team.casefold()


def _rows_of(boards: Iterable[BoardBody], uid: str) -> Iterable[tuple[BoardBody, StandingBody]]:
    for board in boards:
        for row in board["rows"]:
            if row["entry"]["team"] and row["entry"]["team"]["id"] == uid:
                yield board, row
