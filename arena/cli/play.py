"""``arena play``: one match on this machine, by the referee and in the jail of the site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arena.cli import rules, verdicts
from arena.cli.console import print_json, progress, say, warn
from arena.cli.exits import ExitCode, Stop
from arena.cli.shared_task import shared_task

if TYPE_CHECKING:
    from arena.referee import MatchSpec
    from arena.rounds import RoundSpec
    from arena.sandbox.backend import SandboxBackend
    from arena.tasks import Task

PLAYER = "A package (folder or zip), or the name of a house player (arena house list)."


def play(
    defense: Annotated[str, typer.Argument(help=f"Who is attacked. {PLAYER}")],
    attack: Annotated[str, typer.Argument(help=f"Who attacks. {PLAYER}")],
    *,
    threat_model: Annotated[
        str | None,
        typer.Option(
            help="white, grey, black, transfer, or a JSON file of switches. [white; a thief: black]"
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="A task's name, or the path of its TOML file. [the one they are made for; mnist5k]"
        ),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(
            help="linf, l2, l1, l0; or patch, spatial, corruption. [linf, if the two play it]"
        ),
    ] = None,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(
            help="May be given several times: a curve. Of a patch a share of the picture, of a "
            "spatial round degrees, of a corruption the severity. [the task's largest usual]"
        ),
    ] = None,
    shift: Annotated[
        list[float] | None,
        typer.Option(help="Spatial rounds: pixels, one for each epsilon. [a tenth a degree]"),
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(help="Probes per example in grey and black rounds; a thief's in total."),
    ] = None,
    examples: Annotated[
        int | None, typer.Option(help="How many examples are judged. [200]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same verdict.")] = 0,
    game: Annotated[
        str | None,
        typer.Option(help=f"One of {', '.join(rules.GAMES)}."),
    ] = None,
    goal: Annotated[str | None, typer.Option(help="untargeted or targeted. [untargeted]")] = None,
    target_rule: Annotated[
        str | None, typer.Option(help="Targeted: random, least_likely or all. [random]")
    ] = None,
    share: Annotated[
        list[float] | None,
        typer.Option(help="Poisoned share; may be given several times. [usual for the game]"),
    ] = None,
    poison_mode: Annotated[str | None, typer.Option(help="add or replace. [add]")] = None,
    trigger_area: Annotated[
        float | None,
        typer.Option(help="Share of the features that a backdoor's patch may set. [0.02]"),
    ] = None,
    targets: Annotated[
        int | None,
        typer.Option(help="How many chosen points a targeted poisoning round is about. [5]"),
    ] = None,
    batches: Annotated[
        int | None,
        typer.Option(help="In how many batches online poisoning cuts the training set. [10]"),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="Where learners play: trainings on each set, at least 5. [5]"),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(help="How often a stochastic defense is judged on an input. [10]"),
    ] = None,
    first_mover: Annotated[
        str | None,
        typer.Option(help="Poisoning: defender, or attacker: he sees no learner. [defender]"),
    ] = None,
    replays: Annotated[
        int | None,
        typer.Option(help="How many answers a replay round plays of what was proposed. [100]"),
    ] = None,
    published: Annotated[
        int | None,
        typer.Option(help="Examples that the attack of an attacker-first round publishes. [200]"),
    ] = None,
    round_file: Annotated[
        Path | None,
        typer.Option("--round", help="A round's rules as JSON (as the API shows them)."),
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="The round's secret in hexadecimal, to replay its matches.")
    ] = None,
    split_secret: Annotated[
        str | None, typer.Option(help="The tournament's secret, on which its examples hang.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write verdict, outcome and images to this folder.")
    ] = None,
    logs: Annotated[bool, typer.Option("--logs", help="Show what both sides printed.")] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="These packages are mine: play even behind a weaker wall."),
    ] = False,
    backend: Annotated[
        str | None,
        typer.Option(help="The wall to play behind, as `arena sandbox doctor` names it."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The verdict as JSON on stdout.")] = False,
) -> None:
    """Play DEFENSE against ATTACK. A learner plays against a poisoner, or against an
    attack that moves first; a defense against a thief in an extraction round.

    Exit status: 0 scored, 1 a forfeit, 2 the two cannot meet, 5 our fault.
    """
    from arena.sandbox import choose

    sources = rules.source_of(defense), rules.source_of(attack)
    game = game.replace("-", "_") if game else None  # as the pages write it
    options = rules.Options(
        threat_model=threat_model or rules.usual_threat_model(game, attack=sources[1]),
        task=task,
        game=game,
        norm=norm,
        epsilons=tuple(sorted(epsilon or ())),
        shifts=tuple(sorted(shift or ())),
        queries=queries,
        examples=examples,
        goal=goal,
        target_rule=target_rule,
        shares=tuple(sorted(share or ())),
        poison_mode=poison_mode,
        trigger_area=trigger_area,
        targets=targets,
        batches=batches,
        seeds=seeds,
        repeats=repeats,
        first_mover=first_mover,
        replays=replays,
        published=published,
    )
    if round_file is None:
        round_, found = _described(options, defense=sources[0], attack=sources[1])
    else:
        _refuse_beside_a_file(options, threat_model)
        round_, found = _given(round_file)
    rules.refuse_misplaced(sources, round_)
    match = rules.match_of(
        round_,
        defense=sources[0],
        attack=sources[1],
        seed=seed,
        secret=_bytes(secret, "--secret") or rules.secret_for(seed),
        split_secret=_bytes(split_secret, "--split-secret"),
    )
    trusted = trust or all(rules.is_house(source) for source in sources)
    wall = choose(trusted=trusted, named=backend)
    code = _play(match, found, wall, out=out, logs=logs, json=json)
    raise typer.Exit(code)


def _described(options: rules.Options, *, defense: str, attack: str) -> tuple[RoundSpec, Task]:
    from arena.tasks.fitting import usual_task_of

    usual = rules.usual_game(defense=defense, attack=attack)
    game = rules.game_of(options, usual)
    name = options.task or shared_task(
        defense=defense, attack=attack, usual=usual_task_of(options.game or usual), game=game
    )
    task = rules.load_task(name)
    norm = rules.usual_norm(game, defense=defense, attack=attack)
    return rules.round_of(options, task, usual=usual, norm=norm), task


def _refuse_beside_a_file(options: rules.Options, threat_model: str | None) -> None:
    """What the file says holds: an option that says otherwise would not be heard."""
    given = [rules.OPTIONS[setting] for setting in options.said]
    others = {
        "--threat-model": threat_model,
        "--task": options.task,
        "--game": options.game,
        "--queries": options.queries,
        "--first-mover": options.first_mover,
    }
    given += [option for option, value in others.items() if value is not None]
    if given:
        raise Stop(
            ExitCode.USAGE,
            f"--round holds the rules: change them there, and leave {', '.join(given)} out.",
        )


def _given(path: Path) -> tuple[RoundSpec, Task]:
    from arena.round_settings import changed, idle
    from arena.round_switches import values_of
    from arena.rounds import RoundSpec
    from arena.tasks.fitting import too_many

    data = rules.read_json(path, what="round")
    round_ = RoundSpec.from_json(data.get("spec", data))
    switches = values_of(round_.threat_model)
    told = [*idle(round_, changed(round_)), *rules.idle_switches(round_.game, switches, switches)]
    task = rules.load_task(round_.task)
    for sentence in [*(sentence for _, sentence in told), too_many(task, round_)]:
        if sentence is not None:
            warn(f"Note on {path}: {sentence}")
    return round_, task


def _bytes(text: str | None, option: str) -> bytes | None:
    try:
        return None if text is None else bytes.fromhex(text)
    except ValueError:
        raise Stop(ExitCode.USAGE, f"{option} must be hexadecimal digits.") from None


def _play(
    match: MatchSpec,
    task: Task,
    backend: SandboxBackend,
    *,
    out: Path | None,
    logs: bool,
    json: bool,
) -> ExitCode:
    from arena.referee import play_match
    from arena.round_switches import sentence_of

    names = f"{match.attack.manifest.name} against {match.defense.manifest.name}"
    with progress(names) as tell:
        verdict = play_match(match, backend=backend, task=task, progress=tell)
    if out is not None:
        verdict.write(out)
    if json:
        print_json(verdicts.as_json(verdict))
    else:
        verdicts.print_verdict(verdict, title=f"{names} ({match.round.preset})", logs=logs)
        say(f"{verdicts.played(match.round)} {sentence_of(match.round)}")
    return verdicts.exit_of(verdict)
