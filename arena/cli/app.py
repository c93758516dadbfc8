"""The command tree, and the one place where an error becomes an exit status."""

from __future__ import annotations

import typer

from arena.cli import attacking, engine, exits, house, new, play, site, tasks
from arena.cli.console import warn
from arena.cli.exits import ExitCode
from arena.errors import ArenaError

app = typer.Typer(
    name="arena",
    help="Play attacks against defenses, here or on a server. Every command has --help.",
    epilog="Exit status: 0 ok, 1 check failed, 2 usage, 3 auth, 4 rejected, 5 our fault, "
    "6 timed out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("init")(new.init)
app.command("qualify")(engine.qualify)
app.command("play")(play.play)
app.add_typer(house.app, name="house")
app.add_typer(tasks.app, name="tasks")
engine.sandbox.command("attack")(attacking.attack)
app.add_typer(engine.sandbox, name="sandbox")
site.register(app)


def run_app(arguments: list[str]) -> int:
    """Errors made on purpose end with a sentence; a traceback is a bug of ours."""
    try:
        app(args=arguments, prog_name="arena")
    except SystemExit as ending:
        return _status(ending.code)
    except KeyboardInterrupt:
        warn("Interrupted.")
        return 130
    except ArenaError as error:
        warn(str(error))
        return exits.code_of(error)
    return ExitCode.OK


def _status(code: object) -> int:
    if code is None:
        return ExitCode.OK
    return code if isinstance(code, int) else ExitCode.FAILED
