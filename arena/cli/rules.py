"""From options to the very object that the site's runner plays: a round and a match."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from arena.cli.exits import ExitCode, Stop
from arena.errors import PackageError

if TYPE_CHECKING:
    from arena.manifest import Manifest, Role
    from arena.packages import Package
    from arena.referee import MatchSpec
    from arena.rounds import RoundSpec
    from arena.tasks import Task
    from arena.threat_model import ThreatModel

HOUSE: Final = "house:"
GAMES: Final = (
    "evasion",
    "minimum_norm",
    "transfer",
    "poisoning",
    "backdoor",
    "extraction",
    "certification",
    "replay",
    "targeted_poisoning",
    "online_poisoning",
    "attacker_first",
    "trend_poisoning",
    "good_words",
)
"""Named here so that help needs no engine; a test holds them to it."""
POISONING: Final = "poisoning"
EXTRACTION: Final = "extraction"
ONLINE_POISONING: Final = "online_poisoning"
NAMED: Final = ("backdoor", "targeted_poisoning", ONLINE_POISONING)
"""What a poisoner plays, if its manifest names it."""
CERTIFICATION: Final = "certification"
REPLAY: Final = "replay"
ATTACKER_FIRST: Final = "attacker_first"
GOOD_WORDS: Final = "good_words"
TREND_POISONING: Final = "trend_poisoning"
TRANSFER: Final = "transfer"


OPTIONS: Final = {
    "norm": "--norm",
    "epsilons": "--epsilon",
    "shifts": "--shift",
    "goal": "--goal",
    "target_rule": "--target-rule",
    "examples": "--examples",
    "shares": "--share",
    "poison_mode": "--poison-mode",
    "trigger_area": "--trigger-area",
    "targets": "--targets",
    "batches": "--batches",
    "seeds": "--seeds",
    "repeats": "--repeats",
    "replays": "--replays",
    "published": "--published",
}
"""A round's settings, and the option that gives each."""


@dataclass(frozen=True)
class Options:
    """What ``arena play`` was given; None is "not said"."""

    threat_model: str
    task: str | None = None
    game: str | None = None
    norm: str | None = None
    epsilons: tuple[float, ...] = ()
    queries: int | None = None
    examples: int | None = None
    shifts: tuple[float, ...] = ()
    goal: str | None = None
    target_rule: str | None = None
    shares: tuple[float, ...] = ()
    poison_mode: str | None = None
    trigger_area: float | None = None
    targets: int | None = None
    batches: int | None = None
    seeds: int | None = None
    repeats: int | None = None
    first_mover: str | None = None
    replays: int | None = None
    published: int | None = None

    @property
    def said(self) -> dict[str, Any]:
        """The settings of a round that were given."""
        values = {name: getattr(self, name) for name in OPTIONS}
        return {name: value for name, value in values.items() if value not in (None, ())}


def source_of(text: str) -> str:
    """A path to a package, or ``house:NAME``; a bare name is a path only where a package is there.

    Raises:
        Stop: neither; with the house's names.
    """
    if text.startswith(HOUSE):
        return text
    path = Path(text)
    if "/" in text or path.suffix == ".zip" or (path / "manifest.toml").is_file():
        if not path.exists():
            raise Stop(ExitCode.USAGE, f"There is no package at {text}.")
        return text
    from arena import house

    try:
        house.manifest(text)
    except PackageError as error:
        raise Stop(ExitCode.USAGE, f"{error} For a package of yours, give its path.") from error
    return HOUSE + text


def is_house(source: str) -> bool:
    return source.startswith(HOUSE)


def refuse_misplaced(sources: Iterable[str], round_: RoundSpec) -> None:
    """Raises Stop for a house player that has no place in the round, naming those that have."""
    from arena import house

    for name in (source.removeprefix(HOUSE) for source in sources if is_house(source)):
        if (reason := house.misplaced(name, round_)) is not None:
            raise Stop(ExitCode.USAGE, reason)


def plays_poisoning(source: str) -> bool:
    """Whether this player is a learner or a poisoner."""
    from arena.manifest import Role

    return _role(source) in (Role.LEARNER, Role.POISONER)


def _role(source: str) -> Role:
    return manifest_of(source).role


def manifest_of(source: str) -> Manifest:
    from arena import house
    from arena.packages import Package

    if is_house(source):
        return house.manifest(source.removeprefix(HOUSE))
    return Package.read(Path(source)).manifest


def steals(source: str) -> bool:
    """Whether this player is a thief."""
    from arena.manifest import Role

    return _role(source) is Role.THIEF


def usual_game(*, defense: str, attack: str) -> str | None:
    """What these two play where nothing was said; None: evasion or transfer."""
    from arena.manifest import Role

    if steals(attack):
        return EXTRACTION
    if manifest_of(attack).needs.games in ((REPLAY,), (GOOD_WORDS,)):
        return manifest_of(attack).needs.games[0]
    if not plays_poisoning(defense):
        return None
    if _role(attack) is Role.ATTACK:
        return ATTACKER_FIRST
    if TREND_POISONING in manifest_of(attack).needs.games:
        return TREND_POISONING
    plays = manifest_of(attack).needs.games
    return next((game for game in NAMED if game in plays), POISONING)


def usual_threat_model(game: str | None, *, attack: str) -> str:
    """The preset that is played where nothing was said."""
    from arena.tasks.usual import usual_preset

    if game is None and steals(attack):
        game = EXTRACTION
    if game is None and manifest_of(attack).needs.games == (GOOD_WORDS,):
        game = GOOD_WORDS
    return usual_preset(game or "evasion")


def game_of(options: Options, usual: str | None) -> str:
    """The game that the options name, else ``usual``; evasion or transfer where nobody says.

    Raises:
        Stop: no such game.
    """
    from arena.rounds import GameName

    plain = TRANSFER if options.threat_model == TRANSFER else "evasion"
    return _one_of("--game", options.game or usual or plain, GameName)


def usual_norm(game: str, *, defense: str, attack: str) -> str:
    """What bounds a change where nothing was said: L∞ where the two play it, else the first norm
    that they do (an attack of patches, a certificate in L2).
    """
    from arena.applicability import norms_played
    from arena.round_settings import norms_of
    from arena.rounds import Norm, norm_for

    played: Collection[str] = norms_played(manifest_of(attack).needs)
    if game == CERTIFICATION:
        certified = manifest_of(defense).certifies
        played = [norm for norm in played if norm in certified]
    allowed = [norm.value for norm in norms_of(game)]
    fitting = [norm for norm in played if norm in allowed]
    usual = norm_for(game, Norm.LINF)
    return usual if usual in fitting or not fitting else fitting[0]


def load_task(name: str) -> Task:
    from arena import tasks

    return tasks.load(name)


def round_of(
    options: Options, task: Task, *, usual: str | None = None, norm: str = "linf"
) -> RoundSpec:
    """The round that the options describe; the task's own ε where none was said.

    ``usual``, ``norm``: the game and the norm where none was said.

    Raises:
        Stop: an option that is none, or changes nothing in this game.
    """
    from arena.round_settings import uses
    from arena.rounds import Norm, RoundSpec, norm_for
    from arena.tasks.fitting import misfit, too_many
    from arena.tasks.usual import usual_shares

    game = game_of(options, usual)
    norm = norm_for(game, norm)
    if options.norm is not None:
        norm = _one_of("--norm", options.norm, Norm)
    data: dict[str, Any] = {
        "game": game,
        "task": task.name,
        "threat_model": _threat_model(options, game),
        **options.said,
        "norm": norm,
    }
    if uses(game, "shares"):
        first_mover = data["threat_model"]["first_mover"]
        data.setdefault("shares", usual_shares(game, first_mover=first_mover))
    elif uses(game, "epsilons"):
        data["epsilons"] = options.epsilons or _usual(task, norm, game=game)
    data |= _counts(data, task)
    round_ = RoundSpec.from_json(data)
    _refuse_idle(options, round_)
    largest = max(round_.epsilons, default=0.0)
    problem = misfit(task, round_.game, largest=largest, norm=round_.norm)
    problem = problem or too_many(task, round_)
    if problem is not None:
        raise Stop(ExitCode.USAGE, problem)
    return round_


def _counts(data: Mapping[str, Any], task: Task) -> dict[str, int]:
    """How many examples where nothing was said: fewer where a split is small."""
    from arena.tasks.usual import usual_examples, usual_published

    examples = data.get("examples", usual_examples(data["game"], task, "practice"))
    if data["game"] != ATTACKER_FIRST:
        return {"examples": examples}
    usual = usual_published(task, "practice", examples=examples)
    return {"examples": examples, "published": data.get("published", usual)}


def _refuse_idle(options: Options, round_: RoundSpec) -> None:
    from arena.round_settings import idle
    from arena.rounds import GameName

    for setting, sentence in idle(round_, list(options.said)):
        raise Stop(ExitCode.USAGE, f"{sentence} Leave {OPTIONS[setting]} out.")
    if options.queries is not None and round_.game is GameName.TREND_POISONING:
        raise Stop(ExitCode.USAGE, "A trend round grants no probes: leave --queries out.")


def _one_of(option: str, text: str, kind: type[StrEnum]) -> str:
    if text not in list(kind):
        raise Stop(ExitCode.USAGE, f"{option} is {text!r}; say one of {', '.join(kind)}.")
    return text


def _threat_model(options: Options, game: str) -> Mapping[str, Any]:
    """A preset by name, or a JSON file with all the switches."""
    from arena.threat_model import PRESET_NAMES, ThreatModel

    if options.threat_model in PRESET_NAMES:
        model = ThreatModel.preset(options.threat_model, queries=options.queries)
        return _moving(game, model, options.first_mover).to_json()
    for option, value in (("--queries", options.queries), ("--first-mover", options.first_mover)):
        if value is not None:
            raise Stop(
                ExitCode.USAGE,
                f"{options.threat_model} says all the switches: change it there, and leave "
                f"{option} out.",
            )
    return _read_model(Path(options.threat_model), game).to_json()


def _read_model(path: Path, game: str) -> ThreatModel:
    """All the switches, from a file that says them."""
    from arena.round_switches import giving_way, values_of
    from arena.threat_model import PRESET_NAMES, ThreatModel

    if not path.is_file():
        raise Stop(
            ExitCode.USAGE,
            f"There is no threat model {path}: say {', '.join(PRESET_NAMES)}, or the path of a "
            "JSON file with all the switches.",
        )
    said = ThreatModel.read(read_json(path, what="threat model"))
    values = {**values_of(ThreatModel()), **said}
    for switch, sentence in idle_switches(game, values, list(said)):
        raise Stop(ExitCode.USAGE, f"{path}: {sentence} Leave {switch} out.")
    return ThreatModel(**giving_way(game, values))


def idle_switches(
    game: str, values: Mapping[str, Any], switches: Collection[str]
) -> list[tuple[str, str]]:
    """(switch, sentence) for each that changes nothing, and that no preset says so either."""
    from arena.round_switches import idle
    from arena.rounds import threat_model_for
    from arena.threat_model import PRESET_NAMES, ThreatModel

    presets = [ThreatModel.preset(name) for name in PRESET_NAMES]
    read = [threat_model_for(game, preset) for preset in presets]
    return idle(game, values, switches, presets=[*presets, *read])


def _moving(game: str, model: ThreatModel, first_mover: str | None) -> ThreatModel:
    """The preset as the game reads it, with that first mover if one was said."""
    from arena.rounds import threat_model_for
    from arena.threat_model import FirstMover

    if first_mover is None:
        return threat_model_for(game, model)
    if first_mover not in list(FirstMover):
        raise Stop(ExitCode.USAGE, f"--first-mover is {first_mover!r}; say defender or attacker.")
    mover = FirstMover(first_mover)
    return replace(threat_model_for(game, model, first_mover=mover), first_mover=mover)


def _usual(task: Task, norm: str, *, game: str) -> tuple[float, ...]:
    """The task's largest usual ε of that norm; all of them where words are counted."""
    from arena.tasks.usual import usual_epsilons

    usual = usual_epsilons(game, norm, task)
    if not usual:
        raise Stop(
            ExitCode.USAGE, f"Task {task.name} has no usual epsilon in {norm}; say --epsilon."
        )
    return usual if game == GOOD_WORDS else usual[-1:]


def read_json(path: Path, *, what: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Stop(ExitCode.USAGE, f"There is no {what} {path}: {error.strerror}.") from error
    except ValueError as error:
        raise Stop(ExitCode.USAGE, f"{path} is not valid JSON: {error}.") from error
    if not isinstance(data, dict):
        raise Stop(ExitCode.USAGE, f"{path} must hold one JSON object.")
    return data


def secret_for(seed: int) -> bytes:
    """A local round's secret, from the seed: the same command plays the same match anywhere."""
    return hashlib.sha256(f"arena play {seed}".encode()).digest()


def match_of(
    round_: RoundSpec,
    *,
    attack: str,
    defense: str,
    seed: int,
    secret: bytes,
    split_secret: bytes | None = None,
) -> MatchSpec:
    """Read by the runner's own function, as on the site."""
    from arena.runner import read_match

    return read_match(
        {
            "round": round_.to_json(),
            "attack": attack,
            "defense": defense,
            "seed": seed,
            "secret": secret.hex(),
            "split_secret": None if split_secret is None else split_secret.hex(),
        }
    )


def package_at(source: Path) -> Package:
    from arena.packages import Package

    if not source.exists():
        raise Stop(ExitCode.USAGE, f"There is no package at {source}.")
    return Package.read(source)
