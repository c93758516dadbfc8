"""``arena sandbox attack``: the hostile players against a wall of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from arena.cli.console import print_json, progress, say, table
from arena.cli.exits import ExitCode, Stop

if TYPE_CHECKING:
    from arena.hostile.cases import Case
    from arena.hostile.suite import Finding
    from arena.sandbox.backend import SandboxBackend


def attack(
    *,
    backend: Annotated[
        str | None, typer.Option(help="The wall, by its name; else the strongest that works.")
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(help="A number of docs/security.md, or a case by its name; may be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The findings as JSON on stdout.")] = False,
) -> None:
    """Let hostile players loose on the wall, and say what became of each.

    Every one plays a match against an honest opponent. Takes a minute or two.

    Exit status: 0 where everything was stopped, or is known to get through (docs/security.md);
    1 where something got through, was blamed on the wrong side, or left something behind.
    """
    from arena.hostile import archives, suite

    wanted = _cases(case)
    with suite.own_scratch():
        wall = _wall(backend)
        with progress(f"Attacking {wall.name}") as tell:
            found = list(suite.play(wall, wanted, tell=tell))
        if not case or str(archives.NUMBER) in case:
            found += suite.read_archives()
    failed = [finding for finding in found if not finding.stopped and not finding.known]
    if json:
        print_json({"backend": wall.name, "cases": [_row(finding) for finding in found]})
    else:
        table(
            ("Kind", "Case", "By", "Ended", "Stopped by", "Finding"),
            [_cells(finding) for finding in found],
            title=f"Attempts on {wall.name}",
        )
        say(_summary(found, failed))
    raise typer.Exit(ExitCode.FAILED if failed else ExitCode.OK)


def _cases(wanted: list[str] | None) -> list[Case]:
    from arena.hostile import archives
    from arena.hostile.cases import all_cases

    known = all_cases()
    if not wanted:
        return list(known)
    names = {word for case in known for word in (case.id, str(case.number))}
    for word in wanted:
        if word not in names | {str(archives.NUMBER)}:
            raise Stop(ExitCode.USAGE, f"There is no case {word}; see docs/security.md.")
    return [case for case in known if {case.id, str(case.number)} & set(wanted)]


def _wall(name: str | None) -> SandboxBackend:
    """The backend of that name, which must work here.

    Raises:
        Stop: there is none of that name behind which guests play.
        SandboxUnavailable: it does not work on this machine; the message names the remedy.
    """
    from arena import sandbox
    from arena.errors import SandboxUnavailable
    from arena.sandbox.choice import strong

    if name is None:
        return sandbox.choose(trusted=False)
    found = {wall.name: wall for wall in strong()}
    if name not in found:
        raise Stop(ExitCode.USAGE, f"There is no wall {name}; there are {', '.join(found)}.")
    said = next(d for d in sandbox.doctor() if d.backend == name)
    if not said.works:
        raise SandboxUnavailable(f"{said.sentence} {said.remedy}".strip())
    return found[name]


def _row(finding: Finding) -> dict[str, object]:
    return {
        "case": finding.case,
        "number": finding.number,
        "name": finding.name,
        "by": finding.by,
        "stopped_by": list(finding.stopped_by),
        "expected": finding.expected,
        "ended": finding.ended,
        "stopped": finding.stopped,
        "known": finding.known,
        "problems": list(finding.problems),
        "seconds": round(finding.seconds, 3),
    }


def _cells(finding: Finding) -> tuple[object, ...]:
    return (
        f"{finding.number}",
        finding.case,
        finding.by,
        finding.ended,
        ", ".join(finding.stopped_by),
        _word(finding),
    )


def _word(finding: Finding) -> str:
    if finding.stopped:
        return "stopped"
    return f"known: {finding.known}" if finding.known else "; ".join(finding.problems)


def _summary(found: list[Finding], failed: list[Finding]) -> str:
    known = [finding for finding in found if finding.known and not finding.stopped]
    said = f"{len(found) - len(failed) - len(known)} of {len(found)} attempts were stopped."
    if known:
        said += f" {len(known)} are known to get through: docs/security.md says why."
    if failed:
        said += f" {len(failed)} were not: {', '.join(sorted({f.case for f in failed}))}."
    return said
