"""``arena house``: the reference players."""

from __future__ import annotations

from typing import Annotated

import typer

from arena.cli.console import print_json, say, table

app = typer.Typer(name="house", help="The arena's own players.", no_args_is_help=True)


@app.callback()
def _house() -> None:
    """The arena's own players."""


@app.command("list")
def list_(
    *,
    role: Annotated[
        str | None, typer.Option(help="defense, attack, learner, poisoner or thief.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """List the house players: names that `arena play` takes."""
    from arena import house
    from arena.cli.exits import ExitCode, Stop
    from arena.manifest import Role

    if role is not None and role not in list(Role):
        raise Stop(ExitCode.USAGE, f"--role is one of {', '.join(Role)}.")
    players = [house.describe(name) for name in house.names(role)]
    if json:
        print_json(players)
        return
    table(
        ("Name", "Role", "Tasks", "What it does"),
        [(p["name"], p["role"], ", ".join(p["tasks"]), p["description"]) for p in players],
    )


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="A house player's name.")]) -> None:
    """Print a house player's source: each is one file, written as a guest would."""
    from pathlib import Path

    import arena.house

    source = arena.house.describe(name)["source"]
    say((Path(arena.house.__file__).parents[2] / str(source)).read_text("utf-8"))
