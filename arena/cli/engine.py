"""``arena qualify`` and ``arena sandbox doctor``: what the site would say, without the site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arena.cli import rules
from arena.cli.console import print_json, progress, say, table
from arena.cli.exits import ExitCode
from arena.cli.verdicts import print_finding

if TYPE_CHECKING:
    from arena.manifest import Manifest

sandbox = typer.Typer(
    name="sandbox", help="The wall that players run behind.", no_args_is_help=True
)


@sandbox.callback()
def _sandbox() -> None:
    """The wall that players run behind."""


def qualify(
    package: Annotated[Path, typer.Argument(help="A package: folder or zip.")],
    *,
    task: Annotated[
        str | None, typer.Option(help="The task to qualify on; else the manifest's first.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="The package is mine: accept a weaker wall.")
    ] = False,
    logs: Annotated[
        bool, typer.Option("--logs", help="Show the log; of a package not accepted it always is.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The finding as JSON on stdout.")] = False,
) -> None:
    """Check PACKAGE as the site does after an upload, in the same jail.

    Exit status: 0 accepted, 1 not accepted, 4 not a package.
    """
    from arena import qualification
    from arena.sandbox import choose

    found = rules.package_at(package)
    found.check_packed()
    chosen = rules.load_task(task or task_of(found.manifest))
    backend = choose(trusted=trust)
    with progress(f"Qualifying {found.manifest.name}") as tell:
        finding = qualification.qualify(found, task=chosen, backend=backend, progress=tell)
    if json:
        data = {"accepted": finding.accepted, "sentence": finding.sentence}
        print_json({**data, "task": chosen.name, "figures": finding.figures, "log": finding.log})
    else:
        say(finding.sentence)
        print_finding(finding.figures)
        if finding.log and (logs or not finding.accepted):
            say(finding.log)
    raise typer.Exit(ExitCode.OK if finding.accepted else ExitCode.FAILED)


def task_of(manifest: Manifest) -> str:
    """The task that the site would qualify on."""
    from arena.tasks.fitting import usual_task

    named = [task for task in manifest.tasks if task != "*"]
    return named[0] if named else usual_task(manifest.role, manifest.needs.games)


@sandbox.command("doctor")
def doctor(
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Say which walls work on this machine, and what to do about the rest.

    Exit status: 0 where guests may play, 1 where only house players may.
    """
    from arena.sandbox import doctor as diagnose
    from arena.sandbox.backend import Strength

    found = diagnose()
    guests = any(d.works and d.strength >= Strength.NAMESPACES for d in found)
    if json:
        rows = [
            {
                "backend": d.backend,
                "strength": d.strength.name.lower(),
                "works": d.works,
                "sentence": d.sentence,
                "remedy": d.remedy,
            }
            for d in found
        ]
        print_json({"guests": guests, "backends": rows})
    else:
        table(
            ("Wall", "Strength", "Works", ""),
            [(d.backend, d.strength.name.lower(), d.works, d.sentence) for d in found],
        )
        for remedy in (d.remedy for d in found if d.remedy):
            say(remedy)
        say("Guests may play here." if guests else "Only house players may play here.")
    raise typer.Exit(ExitCode.OK if guests else ExitCode.FAILED)
