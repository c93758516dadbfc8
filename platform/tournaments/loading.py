"""A tournament from a table: a TOML file or the API's JSON (docs/running-a-tournament.md)."""

from __future__ import annotations

import contextlib
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import arena.tasks
from arena import round_switches
from arena.errors import TaskError, ThreatModelError
from arena.round_settings import idle, uses
from arena.rounds import GameName, Norm, RoundSpec, norm_for, threat_model_for
from arena.tasks import Task
from arena.tasks.usual import (
    usual_epsilons,
    usual_examples,
    usual_preset,
    usual_published,
    usual_shares,
)
from arena.threat_model import PRESET_NAMES, ThreatModel
from arena.threat_model import SCHEMA_VERSION as THREAT_MODEL_VERSION
from events.errors import Invalid
from tournaments.models import Visibility
from tournaments.services import RoundPlan, TournamentPlan

SCHEMA_VERSION: Final = 1
METERED: Final = ("grey", "black")
YEARS: Final = range(2000, 3000)
MOST_LETTERS: Final = 60
"""Of an unknown key that is compared with the known ones."""
_TOURNAMENT: Final = frozenset(
    ("schema_version", "slug", "title", "description", "task", "split", "visibility", "invited",
     "organizers", "opens_at", "closes_at", "defaults", "rounds")
)  # fmt: skip
_ROUND: Final = frozenset(("title", "weight", "opens_at", "closes_at", "attacks", "defenses"))
_THREAT: Final = frozenset(("threat_model", "queries", "switches"))
_SPEC: Final = frozenset(
    ("game", "task", "norm", "epsilons", "shifts", "goal", "target_rule", "split", "examples",
     "repeats", "shares", "poison_mode", "seeds", "trigger_area", "targets", "batches", "replays",
     "published", "attack_limits", "defense_limits")
)  # fmt: skip


def read(path: Path) -> TournamentPlan:
    """The plan in a file.

    Raises:
        Invalid: with a sentence that names the key and the remedy.
    """
    try:
        return parse(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is not valid TOML: {error}.") from error


def parse(data: Mapping[str, Any]) -> TournamentPlan:
    """The plan in a table; nothing of it is believed.

    Raises:
        Invalid: with a sentence that names the key and the remedy.
    """
    _refuse_unknown(data, _TOURNAMENT, "the tournament")
    if data.get("schema_version") != SCHEMA_VERSION:
        raise Invalid(f"The tournament must say schema_version = {SCHEMA_VERSION}.")
    for key in ("title", "task", "rounds"):
        if not data.get(key):
            raise Invalid(f"The tournament must say {key}.")
    defaults = _table(data.get("defaults", {}), "defaults")
    _refuse_unknown(defaults, _ROUND | _THREAT | _SPEC, "defaults")
    task, split = _text(data, "task"), _text(data, "split", "practice")
    shared = {"task": task, "split": split, **defaults}
    rounds = _tables(data["rounds"])
    _refuse_idle(defaults, rounds)
    kept = {key: _text(data, key) for key in ("slug", "description") if key in data}
    return TournamentPlan(
        title=_text(data, "title"),
        task=task,
        split=split,
        rounds=tuple(_round(shared, table) for table in rounds),
        visibility=_visibility(data),
        opens_at=_time(data, "opens_at"),
        closes_at=_time(data, "closes_at"),
        invited=_names(data, "invited", of="teams"),
        organizers=_names(data, "organizers", of="accounts"),
        **kept,
    )


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Invalid(f"{name} must be a table.")
    return dict(value)


def _tables(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise Invalid("rounds must be a list of tables.")
    return [_table(item, "Each of the rounds") for item in value]


def _text(data: Mapping[str, Any], key: str, default: str = "") -> str:
    value = data.get(key, default)
    if not isinstance(value, str):
        raise Invalid(f"{key} must be a text, not {value!r}.")
    return value


def _names(data: Mapping[str, Any], key: str, *, of: str = "house players") -> tuple[str, ...]:
    value = data.get(key, ())
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    if not listed or not all(isinstance(name, str) for name in value):
        raise Invalid(f"{key} must be a list of names of {of}.")
    return tuple(value)


def _weight(data: Mapping[str, Any]) -> float:
    value = data.get("weight", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"weight must be a number, not {value!r}.")
    return float(value)


def _round(shared: Mapping[str, Any], table: Mapping[str, Any]) -> RoundPlan:
    title = _text(table, "title").strip()
    if not title:
        raise Invalid("Give every round a title.")
    _refuse_unknown(table, _ROUND | _THREAT | _SPEC, f"round {title!r}")
    game = _game(shared, table)
    data = {**_defaults_for(game, shared), **table}
    try:
        _check_queries(data, table)
        _refuse_idle_switches(data, table)
        spec = _spec(data)
    except (ThreatModelError, TypeError, ValueError) as error:
        raise Invalid(f"Round {title!r}: {error}") from error
    for _, sentence in idle(spec, sorted(table)):
        raise Invalid(f"Round {title!r}: {sentence} Leave it out.")
    return RoundPlan(
        title=title,
        spec=spec,
        attacks=_names(data, "attacks"),
        defenses=_names(data, "defenses"),
        weight=_weight(data),
        opens_at=_time(data, "opens_at"),
        closes_at=_time(data, "closes_at"),
    )


def _game(shared: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    """As it was written; whether it is one is seen with the rest."""
    return str(table.get("game", shared.get("game", "")))


def _refuse_idle(defaults: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]]) -> None:
    """Defaults are for the rounds that have a use for them; one without any is a mistake."""
    games = [_game(defaults, table) for table in rounds]
    switches = _said(defaults.get("switches"))
    idle_ones = [key for key in sorted(defaults) if not any(uses(game, key) for game in games)]
    idle_ones += [
        key for key in sorted(switches) if not any(round_switches.uses(game, key) for game in games)
    ]
    for key in idle_ones:
        raise Invalid(
            f"{key} in defaults changes nothing: no round here is of a game that uses it. "
            "Leave it out."
        )


def _defaults_for(game: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Those that count in a round of this game; words have a norm of their own."""
    own = {"norm"} if game == GameName.GOOD_WORDS else set()
    kept = {key: value for key, value in shared.items() if key not in own and uses(game, key)}
    if switches := _said(kept.get("switches")):
        kept["switches"] = {
            key: value for key, value in switches.items() if round_switches.uses(game, key)
        }
    return kept


def _said(switches: Any) -> Mapping[str, Any]:
    """None where it is no table, which is told with the rest of a round."""
    return switches if isinstance(switches, Mapping) else {}


def _check_queries(data: Mapping[str, Any], table: Mapping[str, Any]) -> None:
    """Of the round's own ``queries``: whether they count."""
    if "queries" not in table:
        return
    model = _preset_name(data)
    if model in PRESET_NAMES and model not in METERED:  # one that is none is told with the rest
        raise ThreatModelError(
            "queries are for threat_model = 'grey' or 'black'; "
            "otherwise set switches = {probes = {per_example = ...}}."
        )
    if data.get("game") == GameName.TREND_POISONING:
        raise ThreatModelError(
            "queries change nothing: a trend round grants no probes. Leave them out."
        )
    switches = table.get("switches", {})
    if isinstance(switches, Mapping) and "probes" in switches:
        raise ThreatModelError("queries and switches.probes both say how many probes: keep one.")


def _spec(data: Mapping[str, Any]) -> RoundSpec:
    if "game" not in data:
        raise ThreatModelError("say game, for instance game = 'evasion'.")
    values = {key: data[key] for key in _SPEC if key in data}
    if "norm" not in data:
        values["norm"] = norm_for(data["game"], Norm.LINF)
    model = _threat_model(data)
    usual = usual_shares(data["game"], first_mover=model.first_mover)
    values = {"shares": usual, **_usual_epsilons(values), **_usual_counts(values), **values}
    return RoundSpec.from_json({**values, "threat_model": model})


def _task(values: Mapping[str, Any]) -> Task | None:
    """None where it is not here, or is none: that is told with the rest of the tournament."""
    if values["task"] not in arena.tasks.names():
        return None
    with contextlib.suppress(TaskError):
        return arena.tasks.load(values["task"])
    return None


def _usual_epsilons(values: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """The task's own of the round's norm."""
    task = _task(values)
    return {"epsilons": usual_epsilons(values["game"], values["norm"], task)} if task else {}


def _usual_counts(values: Mapping[str, Any]) -> dict[str, int]:
    """``examples`` and ``published`` where they were not said: fewer where a split is small."""
    game, split = values["game"], str(values["split"])
    if task := _task(values):
        examples = values.get("examples", usual_examples(game, task, split))
        if game != GameName.ATTACKER_FIRST or type(examples) is not int:
            return {"examples": examples}
        published = values.get("published", usual_published(task, split, examples=examples))
        return {"examples": examples, "published": published}
    return {}


def _threat_model(data: Mapping[str, Any]) -> ThreatModel:
    """A preset, and switches that differ from it."""
    preset = _preset(data)
    values = {**round_switches.values_of(preset), **_switches(data)}
    return ThreatModel(**round_switches.giving_way(data["game"], values))


def _refuse_idle_switches(data: Mapping[str, Any], table: Mapping[str, Any]) -> None:
    """Of the round's own ``switches``: whether they count."""
    said, game = _switches(table), str(data.get("game", ""))
    if not said:
        return
    presets = (_plain_preset(data), _preset(data))
    values = {**round_switches.values_of(presets[1]), **said}
    for _, sentence in round_switches.idle(game, values, list(said), presets=presets):
        raise ThreatModelError(f"{sentence} Leave it out.")


def _preset(data: Mapping[str, Any]) -> ThreatModel:
    """As the game reads it, with who moves first as the round's own switches have it."""
    first_mover = _switches(data).get("first_mover")
    return threat_model_for(data["game"], _plain_preset(data), first_mover=first_mover)


def _preset_name(data: Mapping[str, Any]) -> Any:
    """As it was written, or what is usual for the game; whether it is one is seen later."""
    return data.get("threat_model", usual_preset(str(data.get("game", ""))))


def _plain_preset(data: Mapping[str, Any]) -> ThreatModel:
    preset = _preset_name(data)
    if preset not in PRESET_NAMES:
        known = ", ".join(PRESET_NAMES)
        raise ThreatModelError(f"threat_model is {preset!r}; it must be one of {known}.")
    queries = data.get("queries") if preset in METERED else None
    if queries is not None and type(queries) is not int:
        raise ThreatModelError(f"queries must be a whole number, not {queries!r}.")
    return ThreatModel.preset(preset, queries=queries)


def _switches(data: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are said, as values of their types."""
    switches = data.get("switches", {})
    if not isinstance(switches, Mapping):
        raise ThreatModelError("switches must be a table.")
    return ThreatModel.read({"schema_version": THREAT_MODEL_VERSION, **switches})


def _visibility(data: Mapping[str, Any]) -> Visibility:
    value = data.get("visibility", Visibility.PUBLIC.value)
    if value not in Visibility.values:
        raise Invalid(f"visibility must be one of {', '.join(Visibility.values)}.")
    return Visibility(value)


def _time(data: Mapping[str, Any], key: str) -> datetime | None:
    """TOML knows times, JSON writes them as ISO 8601; one without a zone is UTC."""
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime) or value.year not in YEARS:
        raise Invalid(f"{key} must be a time, written as 2030-01-31T12:00:00Z.")
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _refuse_unknown(data: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    unknown = sorted(str(key) for key in set(data) - known)
    if unknown:
        close = difflib.get_close_matches(unknown[0][:MOST_LETTERS], sorted(known), n=1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise Invalid(f"Unknown key {', '.join(unknown)} in {where}.{meant}")
