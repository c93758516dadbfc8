"""The rounds of a new tournament as a form: every switch, filled by a preset, each to be changed.

What is asked stands in :mod:`web.round_fields`, what presets fill in :mod:`web.round_presets`; here
is what the answers mean: a :class:`~tournaments.services.RoundPlan` each, or where they clash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from django import forms
from django.forms import BaseFormSet, formset_factory
from django.http import QueryDict

from arena import round_switches
from arena import threat_model as switches
from arena.errors import ThreatModelError
from arena.round_settings import changed, idle
from arena.rounds import (
    GameName,
    Goal,
    Limits,
    Norm,
    PoisonMode,
    RoundSpec,
    SplitName,
    TargetRule,
    norm_for,
    threat_model_for,
)
from arena.threat_model import OracleOutput, Probes, ThreatModel, TrainingData
from tournaments.services import MOST_ROUNDS, RoundPlan
from web.forms import tasks_offered, utc
from web.round_fields import RoundFields
from web.round_presets import COUNTED, GROUPS, PREFIX, PRESETS, rounds_sent, values_of


class RoundForm(RoundFields):
    """One game under one threat model and budget."""

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
        read = threat_model_for(game, model, first_mover=model.first_mover)
        if game == GameName.EXTRACTION:
            return read  # however its probes were counted
        wanted = PRESETS[self._preset_name]
        set_by_hand = values_of(model).items() - wanted.items()
        names = {name for name, _ in set_by_hand}
        kept = [group[0] for group in GROUPS if names & set(group)]
        return replace(read, **{switch: getattr(model, switch) for switch in kept})

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


def rounds_in(data: QueryDict) -> list[dict[str, Any]]:
    """The rounds as they were sent, to begin a form anew with one more or one less."""
    several = ("attacks", "defenses")
    return [
        {
            name: data.getlist(key) if name in several else data[key]
            for name in RoundForm.base_fields
            if (key := f"{PREFIX}-{number}-{name}") in data
        }
        for number in range(rounds_sent(data))
    ]


def filled_in(rounds: BaseFormSet[RoundForm]) -> list[RoundForm]:
    """Without the rounds that were added and left as they came."""
    return [form for form in rounds if form.has_changed() or not form.empty_permitted]


def plans_of(rounds: BaseFormSet[RoundForm], *, task: str, split: str) -> tuple[RoundPlan, ...]:
    """The rounds of a valid formset."""
    return tuple(form.plan(task=task, split=split) for form in filled_in(rounds))
