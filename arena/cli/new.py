"""``arena init``: a package that qualifies and plays as it is, to be changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arena.cli import rules
from arena.cli.console import say
from arena.cli.exits import ExitCode, Stop

if TYPE_CHECKING:
    from arena.manifest import Manifest, Role
    from arena.tasks import Task

CONVERT_SECONDS = 300


def init(
    role: Annotated[str, typer.Argument(help="defense, attack, learner, poisoner or thief.")],
    directory: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    *,
    template: Annotated[
        str | None,
        typer.Option(
            help="cnn, pgd-training, numpy, sklearn; fgsm; or any house player. [the first that "
            "plays the task]"
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task to be made for. [mnist5k]")] = None,
    name: Annotated[str | None, typer.Option(help="The player's name; else the folder's.")] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A torch state dict (.pt) of your own, made safetensors."),
    ] = None,
    architecture: Annotated[
        Path | None, typer.Option(help="With --from: your file that defines build().")
    ] = None,
) -> None:
    """Write a working package to DIRECTORY.

    --from reads the file with torch.load(weights_only=True) in a process of its own; give it only
    files that you made yourself.
    """
    from arena import starters
    from arena.manifest import Role

    chosen = _role(role)
    if source is not None and chosen is not Role.DEFENSE:
        raise Stop(ExitCode.USAGE, "--from is for defenses: only they have weights.")
    if template is not None and template not in starters.names(chosen):
        raise Stop(ExitCode.USAGE, starters.unknown(chosen, template))
    found = rules.load_task(task or _usual_task(chosen, template))
    template = template or starters.default(chosen, found)
    if (reason := starters.unfit(chosen, template, found)) is not None:
        raise Stop(ExitCode.USAGE, reason)
    title = _title(name or directory.resolve().name)
    files = starters.files(chosen, template, name=title, task=found)
    _require_empty(directory)
    _write(directory, files)
    if source is not None:
        _convert(source, directory, architecture)
    say(f"{directory} holds the {role} {title} ({template}) for {found.name}. Next:")
    say(f"  {_check(directory, found)}")
    say(f"  {_trial(directory, found, template)}")


def _role(text: str) -> Role:
    from arena.manifest import Role

    if text not in list(Role):
        raise Stop(ExitCode.USAGE, f"{text!r} is no role; roles are {', '.join(Role)}.")
    return Role(text)


def _usual_task(role: Role, template: str | None) -> str:
    """The usual one of the role; the first that a house player has weights for, where not that."""
    from arena import house
    from arena.house.registry import tasks_of
    from arena.tasks.fitting import usual_task

    if template is None or template not in house.names(role):
        return usual_task(role, ())
    usual, known = usual_task(role, house.manifest(template).needs.games), tasks_of(template)
    return usual if usual in known or "*" in known else known[0]


def _title(text: str) -> str:
    """What a manifest takes as a name."""
    kept = "".join(c for c in text if c.isprintable() and c not in '"\\').strip()
    return kept[:80] or "My player"


def _require_empty(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Stop(ExitCode.USAGE, f"{directory} is not empty; name a new folder.")


def _write(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _convert(source: Path, directory: Path, architecture: Path | None) -> None:
    if not source.is_file():
        raise Stop(ExitCode.USAGE, f"There is no file {source}.")
    weights = directory / "weights.safetensors"
    command = [sys.executable, "-m", "arena.cli.convert", str(source), str(weights)]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=CONVERT_SECONDS, check=False
    )
    if ended.returncode != 0:
        raise Stop(ExitCode.REJECTED, ended.stderr.strip()[-400:] or "The file cannot be read.")
    tensors = json.loads(ended.stdout)
    if architecture is not None:
        (directory / "architecture.py").write_bytes(architecture.read_bytes())
    say(f"weights.safetensors holds {len(tensors)} tensors of {source.name}:")
    for name, shape in tensors.items():
        say(f"  {name}  {' x '.join(map(str, shape)) or 'scalar'}")
    if architecture is None:
        say("Make build() in architecture.py return the module with exactly these names.")


def _check(directory: Path, task: Task) -> str:
    """A player of any task is qualified on the usual one, if nothing else is said."""
    from arena.cli.engine import task_of
    from arena.packages import Package

    unsaid = task_of(Package.read(directory).manifest) == task.name
    return f"arena qualify {directory}" + ("" if unsaid else f" --task {task.name}")


def _trial(directory: Path, task: Task, template: str) -> str:
    """A first match against the house that this player can play."""
    from arena.house.registry import tasks_of
    from arena.manifest import Role
    from arena.packages import Package

    rival = "cnn" if task.name in tasks_of("cnn") else "logistic-regression"
    manifest = Package.read(directory).manifest
    trends = rules.TREND_POISONING in manifest.needs.games
    against = "pgd" if manifest.differentiable else "square --threat-model black"
    if "linf" not in task.norms:  # its words are counted
        against = "good-words-by-probes"
    pairs = {
        Role.DEFENSE: f"{directory} {against}",
        Role.ATTACK: f"{rival} {directory}",
        Role.LEARNER: f"{directory} {'level-trend' if trends else 'label-flip'}",
        Role.POISONER: f"{_learner(manifest)} {directory}",
        Role.THIEF: f"{_original(template, task)} {directory}",
    }
    attacks = manifest.role in (Role.ATTACK, Role.THIEF)
    probing = attacks and not manifest.needs.gradients
    threat = " --threat-model black" if probing else ""
    return f"arena play {pairs[manifest.role]}{threat} --task {task.name}"


def _original(template: str, task: Task) -> str:
    """What a thief of that method steals: trees have paths, most others equations."""
    from arena.house.registry import tasks_of

    tree = template == "path-finding" and task.name in tasks_of("decision-tree")
    return "decision-tree" if tree else "logistic-regression"


def _learner(manifest: Manifest) -> str:
    """The house's plain one of the poisoner's game."""
    if rules.TREND_POISONING in manifest.needs.games:
        return "ols-trend"
    only_streams = manifest.needs.games == (rules.ONLINE_POISONING,)
    return "online-logistic" if only_streams else "logistic-learner"
