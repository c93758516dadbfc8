"""The rounds of a new tournament as a form: every switch, filled by a preset, each to be changed.

A preset fills the switches where the page has its script, and on the way in where it has none:
:func:`settle` lets switches that still stand as the last preset left them follow the new one. So
what is sent means the same with and without JavaScript.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from django import forms
from django.forms import BaseFormSet, formset_factory
from django.http import QueryDict

import arena.house
import arena.tasks
from arena import round_switches
from arena import threat_model as switches
from arena.errors import ThreatModelError
from arena.manifest import Role
from arena.round_settings import USED_BY, changed, idle
from arena.rounds import (
    MOST_REPLAYS,
    GameName,
    Goal,
    Limits,
    Norm,
    PoisonMode,
    RoundSpec,
    SplitName,
    TargetRule,
    movers_of,
    norm_for,
    threat_model_for,
)
from arena.threat_model import PRESET_NAMES, OracleOutput, Probes, ThreatModel, TrainingData
from tournaments.services import MOST_ROUNDS, RoundPlan
from web import round_usuals
from web.forms import Moment, Numbers, Styled, tasks_offered, utc
from web.games import words_of
from web.glossary import BY_SLUG

PREFIX: Final = "rounds"
COUNTED: Final = "counted"
AIMED: Final = tuple(game.value for game in GameName if words_of(game).aimed)

GROUPS: Final = (
    ("first_mover",),
    ("task_knowledge",),
    ("training_data", "samples"),
    ("learning_algorithm",),
    ("architecture",),
    ("parameters",),
    ("structure",),
    ("randomness",),
    ("probes", "queries", "total"),
    ("output", "top_k", "decimals"),
    ("feedback",),
    ("true_label",),
)
"""A switch and the numbers that belong to it; together they follow the preset, or do not."""


def values_of(model: ThreatModel) -> dict[str, str]:
    """A threat model as the texts of the form's fields; empty where there is no number."""
    probes = "unlimited" if model.probes.unlimited else "none" if model.probes.none else COUNTED
    found: dict[str, Any] = {
        "first_mover": model.first_mover.value,
        "training_data": model.training_data.kind.value,
        "samples": model.training_data.samples,
        "probes": probes,
        "queries": model.probes.per_example,
        "total": model.probes.total,
        "output": model.output.kind.value,
        "top_k": model.output.k,
        "decimals": model.output.decimals,
        "true_label": "yes" if model.true_label else "no",
    }
    plain = ("task_knowledge", "learning_algorithm", "architecture", "parameters", "structure",
             "randomness", "feedback")  # fmt: skip
    found |= {name: getattr(model, name).value for name in plain}
    return {name: "" if value is None else str(value) for name, value in found.items()}


PRESETS: Final = {name: values_of(ThreatModel.preset(name)) for name in PRESET_NAMES}


# --- what was sent, with the preset in its place --------------------------------------------------


def settle(sent: QueryDict) -> QueryDict:
    """The same with each round's switches filled: what its preset says, unless it was changed."""
    data = sent.copy()
    for number in range(_total(data)):
        prefix = f"{PREFIX}-{number}"
        round_usuals.follow(data, prefix)
        preset = data.get(f"{prefix}-preset", "")
        if preset not in PRESETS:
            continue
        before = PRESETS.get(data.get(f"{prefix}-filled", ""))
        for group in GROUPS:
            given = {name: data.get(f"{prefix}-{name}", "").strip() for name in group}
            for name, value in _settled(given, group, PRESETS[preset], before).items():
                data[f"{prefix}-{name}"] = value
        data[f"{prefix}-filled"] = preset
    return data


def _settled(
    given: Mapping[str, str],
    group: tuple[str, ...],
    wanted: Mapping[str, str],
    before: Mapping[str, str] | None,
) -> dict[str, str]:
    """A group as it counts. A number alone, without its switch, replaces the preset's numbers."""
    switch, *numbers = group
    if not given[switch]:
        own = any(given[name] for name in numbers)
        return {switch: wanted[switch], **{n: given[n] if own else wanted[n] for n in numbers}}
    untouched = before is not None and all(given[name] == before[name] for name in group)
    return {name: wanted[name] if untouched else given[name] for name in group}


def _total(data: QueryDict) -> int:
    text = data.get(f"{PREFIX}-TOTAL_FORMS", "")
    return min(int(text), MOST_ROUNDS) if text.isdecimal() and len(text) < 4 else 0


def rounds_in(data: QueryDict) -> list[dict[str, Any]]:
    """The rounds as they were sent, to begin a form anew with one more or one less."""
    several = ("attacks", "defenses")
    return [
        {
            name: data.getlist(key) if name in several else data[key]
            for name in RoundForm.base_fields
            if (key := f"{PREFIX}-{number}-{name}") in data
        }
        for number in range(_total(data))
    ]


# --- the form -------------------------------------------------------------------------------------


def _house(*roles: Role) -> list[tuple[str, str]]:
    return [(name, name) for role in roles for name in arena.house.names(role)]


class HousePlayers(forms.CheckboxSelectMultiple):
    """Each box names the games, norms and tasks of its player: the page hides the others, with its
    script."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)
        option["attrs"].update(round_usuals.offered(str(value)))
        return option


def _choices(kind: Any, **words: str) -> list[tuple[str, str]]:
    return [(m.value, words.get(m.value, m.value.replace("_", " "))) for m in kind]


def _for(widget: type[forms.Widget], *games: str) -> forms.Widget:
    """A widget that the page hides, with its script, in rounds of other games."""
    return widget(attrs={"data-games": " ".join(games)})


def _of(setting: str, widget: type[forms.Widget], *, but: str = "") -> forms.Widget:
    """The same, of a setting: in rounds that have no use for it, or where the game fixes it."""
    return _for(widget, *sorted(game.value for game in USED_BY[setting] if game != but))


MOVED: Final = frozenset(game for game in GameName if len(movers_of(game)) > 1)
"""The games in which either side may commit first; elsewhere there is nothing to choose."""
_FIRST: Final = frozenset(mover.value for game in GameName for mover in movers_of(game))
"""Who commits first in some game; moving in turn is in none yet."""


def _switch(
    slug: str, choices: list[tuple[str, str]], *, games: Collection[str] = ()
) -> forms.ChoiceField:
    """``games``: those that leave a choice, where some do not: in the others the page hides it."""
    term = BY_SLUG[slug]
    widget = _for(forms.Select, *sorted(games)) if games else forms.Select()
    return forms.ChoiceField(label=term.name, choices=choices, help_text=term.short, widget=widget)


def _number(label: str, *when: str, help_text: str = "") -> forms.IntegerField:
    """A switch's number; the page, with its script, shows it for these values of the switch."""
    return forms.IntegerField(
        label=label,
        required=False,
        max_value=10**9,
        help_text=help_text,
        widget=forms.NumberInput(attrs={"data-when": " ".join(when)}),
    )


def _seconds(label: str, initial: float) -> forms.FloatField:
    return forms.FloatField(
        label=label, min_value=0.1, max_value=86_400, initial=initial, required=False
    )


class RoundForm(Styled):
    """One game under one threat model and budget."""

    title = forms.CharField(max_length=120)
    game = forms.ChoiceField(
        choices=[(g.value, g.value.replace("_", "-")) for g in GameName],
        help_text=BY_SLUG["game"].short,
    )
    task = forms.ChoiceField(required=False, help_text="One of its own, if need be.")
    weight = forms.FloatField(
        required=False,
        min_value=0,
        max_value=1000,
        initial=1.0,
        help_text="How much it counts beside the other rounds.",
    )
    goal = forms.ChoiceField(
        required=False,
        choices=_choices(Goal),
        help_text=BY_SLUG["goal"].short,
        widget=_for(forms.Select, *AIMED),
    )
    target_rule = forms.ChoiceField(
        label="Target rule",
        required=False,
        choices=_choices(TargetRule, least_likely="least likely", all="all other classes"),
        help_text="Targeted rounds only.",
        widget=_of("target_rule", forms.Select),
    )
    norm = forms.ChoiceField(
        required=False,
        choices=[
            ("linf", "L∞"),
            ("l2", "L2"),
            ("l1", "L1"),
            ("l0", "L0"),
            ("patch", "a patch"),
            ("spatial", "turn and shift"),
            ("corruption", "common corruption"),
        ],
        initial="linf",
        help_text=BY_SLUG["norm"].short,
        widget=_of("norm", forms.Select, but=GameName.GOOD_WORDS),
    )
    epsilons = Numbers(
        required=False,
        label="ε, ascending",
        help_text="Several make a curve: 0.1, 0.2. Rounds about poison take one, or none. A patch: "
        "shares of the picture. Turn and shift: degrees. Common corruption: severities 1 to 5. "
        "Good words: how many. Trends: how far one series may be changed.",
        widget=_of("epsilons", forms.TextInput),
    )
    shifts = Numbers(
        required=False,
        label="Shifts, pixels",
        help_text="Turn and shift only: one for each ε. Empty: a tenth of a pixel a degree.",
        widget=_of("shifts", forms.TextInput),
    )
    shares = Numbers(
        required=False,
        label="Poisoned shares",
        help_text="Of the training set, between 0 and 1: 0.03, 0.1.",
        widget=_of("shares", forms.TextInput),
    )
    poison_mode = forms.ChoiceField(
        label="Poison",
        required=False,
        choices=[(m.value, f"{m.value} points") for m in PoisonMode],
        help_text="Beside the training set, or in place of some of it.",
        widget=_of("poison_mode", forms.Select),
    )
    trigger_area = forms.FloatField(
        required=False,
        min_value=0.0001,
        max_value=1,
        initial=0.02,
        label="Trigger area",
        help_text="Backdoor only: the share of the features that a patch may set.",
        widget=_of("trigger_area", forms.NumberInput),
    )
    targets = forms.IntegerField(
        label="Chosen points",
        required=False,
        max_value=100,
        initial=5,
        help_text="Each has a poison and trainings of its own.",
        widget=_of("targets", forms.NumberInput),
    )
    batches = forms.IntegerField(
        required=False,
        max_value=200,
        initial=10,
        help_text="In how many the training set arrives.",
        widget=_of("batches", forms.NumberInput),
    )
    seeds = forms.IntegerField(
        label="Paired seeds",
        required=False,
        max_value=100,
        initial=5,
        help_text="Where learners play: trainings on each set, at least 5.",
        widget=_of("seeds", forms.NumberInput),
    )
    examples = forms.IntegerField(
        min_value=1, max_value=10**6, initial=200, help_text="How many are judged."
    )
    repeats = forms.IntegerField(
        label="Repetitions (k)",
        required=False,
        max_value=1000,
        initial=10,
        help_text="How often a stochastic defense is judged on an input.",
        widget=_of("repeats", forms.NumberInput),
    )
    replays = forms.IntegerField(
        label="Replays (N)",
        required=False,
        max_value=MOST_REPLAYS,
        initial=100,
        help_text="Replay only: how many answers are played of what the attack proposes.",
        widget=_of("replays", forms.NumberInput),
    )
    published = forms.IntegerField(
        required=False,
        max_value=10**6,
        initial=200,
        label="Published examples",
        help_text="Attacker-first only: how many the learner is trained on, beside those judged.",
        widget=_of("published", forms.NumberInput),
    )

    preset = forms.ChoiceField(
        choices=[(name, name) for name in PRESET_NAMES],
        help_text="Fills the switches; those that you change stay as you set them.",
    )
    filled = forms.CharField(required=False, initial="white", widget=forms.HiddenInput)
    usual = forms.CharField(required=False, widget=forms.HiddenInput)
    first_mover = _switch(
        "first-mover",
        [
            choice
            for choice in _choices(
                switches.FirstMover, attacker="attacker (attacker-first, poisoning)"
            )
            if choice[0] in _FIRST
        ],
        games=MOVED,
    )
    task_knowledge = _switch(
        "task-knowledge", _choices(switches.TaskKnowledge, cost="classes and the defender's costs")
    )
    training_data = _switch(
        "training-data",
        _choices(switches.TrainingDataKind, distribution="the distribution", set="the set itself"),
        games=round_switches.USED_BY["training_data"],
    )
    samples = _number("Number of samples", "samples", "distribution")
    learning_algorithm = _switch("learning-algorithm", _choices(switches.LearningAlgorithm))
    architecture = _switch("architecture", _choices(switches.Architecture))
    parameters = _switch("parameters", _choices(switches.Parameters, related="related models"))
    structure = _switch("defense-structure", _choices(switches.DefenseStructure))
    randomness = _switch(
        "randomness",
        _choices(switches.Randomness, seed="the seeds"),
        games=round_switches.USED_BY["randomness"],
    )
    probes = _switch("probe", [("none", "none"), (COUNTED, "counted"), ("unlimited", "unlimited")])
    queries = _number("Probes per example", COUNTED, help_text="In extraction rounds: in total.")
    total = _number("Probes in total", COUNTED)
    output = _switch(
        "oracle-output",
        _choices(switches.OutputKind, top_k="top-k labels"),
        games=round_switches.USED_BY["output"],
    )
    top_k = _number("k", "top_k", help_text="Top-k only.")
    decimals = _number("Decimals", "rounded", help_text="Rounded only.")
    feedback = _switch(
        "feedback",
        _choices(switches.Feedback, success="success or not"),
        games=round_switches.USED_BY["feedback"],
    )
    true_label = _switch(
        "true-label",
        [("yes", "told"), ("no", "not told")],
        games=round_switches.USED_BY["true_label"],
    )

    opens_at = Moment(label="Opens (UTC)", help_text="Empty: with the tournament.")
    closes_at = Moment(label="Closes (UTC)")
    attack_seconds = _seconds("Attack's clock, seconds", Limits().wall_seconds)
    defense_seconds = _seconds("Defense's clock, seconds", Limits().wall_seconds)
    query_seconds = _seconds("One reply at most, seconds", Limits().query_seconds)

    attacks = forms.MultipleChoiceField(
        required=False,
        label="House attacks, poisoners and thieves",
        choices=lambda: _house(Role.ATTACK, Role.POISONER, Role.THIEF),
        widget=HousePlayers,
    )
    defenses = forms.MultipleChoiceField(
        required=False,
        label="House defenses and learners",
        choices=lambda: _house(Role.DEFENSE, Role.LEARNER),
        widget=HousePlayers,
    )

    def __init__(self, *args: Any, tasks: Iterable[tuple[str, str]] = (), **kwargs: Any) -> None:
        """``tasks``: the choices beside the tournament's own."""
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["task"]).choices = [("", "the tournament's"), *tasks]
        for name, value in PRESETS["white"].items():
            self.fields[name].initial = value

    # what the template shows together

    @property
    def game_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("title", "game", "task", "examples", "weight")]

    @property
    def budget_fields(self) -> list[forms.BoundField]:
        names = ("goal", "target_rule", "norm", "epsilons", "shifts", "shares", "poison_mode",
                 "trigger_area", "targets", "batches", "seeds", "repeats", "replays",
                 "published")  # fmt: skip
        return [self[name] for name in names]

    @property
    def clock_fields(self) -> list[forms.BoundField]:
        names = ("opens_at", "closes_at", "attack_seconds", "defense_seconds", "query_seconds")
        return [self[name] for name in names]

    @property
    def switch_groups(self) -> list[list[forms.BoundField]]:
        return [[self[name] for name in group] for group in GROUPS]

    @property
    def preset_now(self) -> str:
        return str(self["preset"].value() or "white")

    @property
    def _preset_name(self) -> str:
        return self.preset_now if self.preset_now in PRESETS else "white"

    @property
    def changed_switches(self) -> list[str]:
        """Labels of the switches that differ from the preset."""
        wanted = PRESETS[self._preset_name]
        return [
            str(self[group[0]].label)
            for group in GROUPS
            if any(str(self[name].value() or "") != wanted[name] for name in group)
        ]

    @property
    def switches_open(self) -> bool:
        """Whether the switches show at once: some differ from the preset, or are wrong."""
        names = [name for group in GROUPS for name in group]
        return bool(self.changed_switches) or any(self[name].errors for name in names)

    @property
    def clocks_open(self) -> bool:
        return any(field.errors for field in self.clock_fields)

    # what it means

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        counted = data.get("queries") is not None or data.get("total") is not None
        if data.get("probes") == COUNTED and not counted:
            self.add_error("probes", "Say how many: per example, in total, or both.")
        if data.get("probes") == "none" and counted:
            self.add_error("probes", "Here is a number of probes: choose counted, or take it out.")
        if not set(self.errors) - {"title"}:  # a round can be previewed before it has a name
            self._understand(data)
        return data

    def _understand(self, data: dict[str, Any]) -> None:
        """Keeps the rules in ``data["spec"]``, without task and split; or says where they clash."""
        try:
            values = _switches(data)
            for switch, sentence in self._idle_switches(data["game"], values):
                self._blame(switch, f"{sentence} {self._as_preset(switch)}")
            model = ThreatModel(**round_switches.giving_way(data["game"], values))
            model = self._as_read(data["game"], model)
        except ThreatModelError as error:
            self._blame(error.switch, str(error))
            return
        try:
            spec = _spec(data, model)
        except ThreatModelError as error:
            self._blame(error.switch, str(error))
            return
        for name, sentence in idle(spec, changed(spec)):
            self._blame(name, f"{sentence} {self._as_it_was(name)}")
        if not set(self.errors) - {"title"}:
            data["spec"] = spec

    def _idle_switches(self, game: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        preset = ThreatModel.preset(self._preset_name)
        presets = (preset, threat_model_for(game, preset))
        return round_switches.idle(game, values, list(values), presets=presets)

    def _as_preset(self, switch: str) -> str:
        """The remedy for a switch that changes nothing."""
        wanted = PRESETS[self._preset_name]
        group = next(group for group in GROUPS if switch in group)
        words = _words(cast(forms.ChoiceField, self.fields[group[0]]))
        numbers = [wanted[number] for number in group[1:] if wanted[number]]
        told = ", ".join([words[wanted[group[0]]], *numbers])
        return f"Leave it as the {self._preset_name} preset has it: {told}."

    def _as_it_was(self, name: str) -> str:
        """The remedy for a setting that changes nothing."""
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField):
            words = _words(field)
            return f"Choose {words[field.initial or next(iter(words))]}."
        return "Leave it empty."

    def _as_read(self, game: str, model: ThreatModel) -> ThreatModel:
        """As the game reads a preset; what differs from the preset is for the game to refuse."""
        read = threat_model_for(game, model)
        wanted = PRESETS[self._preset_name]
        set_by_hand = values_of(model).items() - wanted.items()
        names = {name for name, _ in set_by_hand}
        if game == GameName.TREND_POISONING and names & {"probes", "queries", "total"}:
            return replace(read, probes=model.probes)
        if game == GameName.ATTACKER_FIRST and "first_mover" in names:
            return replace(read, first_mover=model.first_mover)
        return read

    def _blame(self, name: str, sentence: str) -> None:
        self.add_error(name if name in self.fields else None, sentence)

    @property
    def is_understood(self) -> bool:
        """Whether it has rules to preview, if perhaps no title."""
        return "spec" in getattr(self, "cleaned_data", {})

    def plan(self, *, task: str, split: str) -> RoundPlan:
        """The round as the service takes it; of a form that is understood.

        Args:
            task, split: the tournament's, for a round that names no task of its own.
        """
        data = self.cleaned_data
        rules = {**data["spec"].to_json(), "task": data["task"] or task, "split": split}
        return RoundPlan(
            title=data.get("title") or "Round",
            spec=RoundSpec.from_json(rules),
            attacks=tuple(data["attacks"]),
            defenses=tuple(data["defenses"]),
            weight=1.0 if data["weight"] is None else data["weight"],
            opens_at=utc(data["opens_at"]),
            closes_at=utc(data["closes_at"]),
        )


def _switches(data: Mapping[str, Any]) -> dict[str, Any]:
    """By name, as values of their types; whether they contradict one another is not seen here."""
    return {
        "first_mover": switches.FirstMover(data["first_mover"]),
        "repeats": 1,
        "task_knowledge": switches.TaskKnowledge(data["task_knowledge"]),
        "training_data": TrainingData(
            switches.TrainingDataKind(data["training_data"]), data["samples"]
        ),
        "learning_algorithm": switches.LearningAlgorithm(data["learning_algorithm"]),
        "architecture": switches.Architecture(data["architecture"]),
        "parameters": switches.Parameters(data["parameters"]),
        "structure": switches.DefenseStructure(data["structure"]),
        "randomness": switches.Randomness(data["randomness"]),
        "probes": Probes(data["total"], data["queries"], data["probes"] == "unlimited"),
        "output": OracleOutput(
            switches.OutputKind(data["output"]), data["top_k"], data["decimals"]
        ),
        "feedback": switches.Feedback(data["feedback"]),
        "true_label": data["true_label"] == "yes",
    }


def _spec(data: Mapping[str, Any], model: ThreatModel) -> RoundSpec:
    """Raises ThreatModelError for budgets that contradict one another or the game."""
    return RoundSpec(
        game=GameName(data["game"]),
        task=data["task"],
        split=SplitName.PRACTICE,
        threat_model=model,
        norm=_norm(data["game"], data["norm"]),
        epsilons=data["epsilons"],
        shifts=data["shifts"],
        goal=Goal(data["goal"] or Goal.UNTARGETED),
        target_rule=TargetRule(data["target_rule"] or TargetRule.RANDOM),
        shares=data["shares"],
        poison_mode=PoisonMode(data["poison_mode"] or PoisonMode.ADD),
        **({} if data["trigger_area"] is None else {"trigger_area": data["trigger_area"]}),
        targets=5 if data["targets"] is None else data["targets"],
        batches=10 if data["batches"] is None else data["batches"],
        seeds=5 if data["seeds"] is None else data["seeds"],
        examples=data["examples"],
        repeats=10 if data["repeats"] is None else data["repeats"],
        replays=100 if data["replays"] is None else data["replays"],
        published=200 if data["published"] is None else data["published"],
        attack_limits=_limits(data["attack_seconds"]),
        defense_limits=_limits(data["defense_seconds"], data["query_seconds"]),
    )


def _words(field: forms.ChoiceField) -> dict[str, str]:
    return dict(cast(list[tuple[str, str]], field.choices))


def _norm(game: str, chosen: str) -> Norm:
    """Where the game has a norm of its own the field is hidden, and stands as it came."""
    return Norm(norm_for(game, Norm.LINF) if chosen in ("", Norm.LINF) else chosen)


def _limits(clock: float | None, query: float | None = None) -> Limits:
    """One clock sets wall and processor time: a player has one thread."""
    usual = Limits()
    seconds = clock or usual.wall_seconds
    return replace(
        usual,
        wall_seconds=seconds,
        cpu_seconds=seconds,
        query_seconds=query or usual.query_seconds,
    )


_RoundForms = formset_factory(RoundForm, extra=0, min_num=1, max_num=MOST_ROUNDS, validate_min=True)


def round_formset(
    sent: QueryDict | None = None, *, initial: list[dict[str, Any]] | None = None
) -> BaseFormSet[RoundForm]:
    """One form a round: of what was ``sent``, or to begin with."""
    choices = {"tasks": tasks_offered()}
    return _RoundForms(sent, prefix=PREFIX, initial=initial, form_kwargs=choices)


def filled_in(rounds: BaseFormSet[RoundForm]) -> list[RoundForm]:
    """Without the rounds that were added and left as they came."""
    return [form for form in rounds if form.has_changed() or not form.empty_permitted]


def plans_of(rounds: BaseFormSet[RoundForm], *, task: str, split: str) -> tuple[RoundPlan, ...]:
    """The rounds of a valid formset."""
    return tuple(form.plan(task=task, split=split) for form in filled_in(rounds))
