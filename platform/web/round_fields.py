"""What the form of a new tournament asks of a round, and how its page groups that.

Each field names the games that have a use for it: the page hides it in others, with its script.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, cast

from django import forms

import arena.house
from arena import round_switches
from arena import threat_model as switches
from arena.manifest import Role
from arena.round_settings import USED_BY
from arena.rounds import MOST_REPLAYS, GameName, Goal, Limits, PoisonMode, TargetRule, movers_of
from arena.threat_model import PRESET_NAMES
from web import round_usuals
from web.forms import Moment, Numbers, Styled
from web.games import words_of
from web.glossary import BY_SLUG
from web.round_presets import COUNTED, GROUPS, PRESETS

AIMED: Final = tuple(game.value for game in GameName if words_of(game).aimed)


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


class RoundFields(Styled):
    """What is asked of a round; what it means is :class:`web.round_forms.RoundForm`'s."""

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
