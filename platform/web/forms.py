"""Forms of the pages. They check shape; services check rules."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import BaseFormSet, formset_factory

import arena.house
import arena.tasks
from accounts.models import Scope, Team, User
from arena.errors import ArenaError
from arena.manifest import Role
from arena.rounds import (
    GameName,
    Goal,
    Norm,
    PoisonMode,
    RoundSpec,
    SplitName,
    threat_model_for,
)
from arena.threat_model import PRESET_NAMES, ThreatModel
from events.identifiers import opaque_id
from submissions.models import Submission
from tournaments.models import Tournament, Visibility
from tournaments.services import RoundPlan, TournamentPlan

_FIELDS: dict[type[forms.Widget], str] = {
    forms.Select: "form-select",
    forms.CheckboxInput: "form-check-input",
    forms.CheckboxSelectMultiple: "form-check-input",
}


class Styled(forms.Form):
    """Widgets with the site's classes, and errors tied to them for screen readers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.setdefault("class", _FIELDS.get(type(field.widget), "form-control"))


# --- people -------------------------------------------------------------------------------------


class SignUpForm(Styled):
    username = forms.CharField(
        label="Pseudonym",
        max_length=40,
        help_text="The only name that others ever see.",
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    email = forms.EmailField(
        label="Email address",
        help_text="Stays private.",
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    password = forms.CharField(
        label="Password",
        help_text="At least 8 characters, not a common one.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class TeamForm(Styled):
    name = forms.CharField(label="Name of the team", max_length=60)


class TokenForm(Styled):
    name = forms.CharField(
        max_length=60, widget=forms.TextInput(attrs={"placeholder": "nightly bot"})
    )
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        initial=[Scope.READ, Scope.SUBMIT, Scope.ENTER],
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.IntegerField(label="Days it lives", min_value=1, max_value=366, initial=180)


# --- submissions and entries --------------------------------------------------------------------


class UploadForm(Styled):
    archive = forms.FileField(
        label="Package (.zip)", widget=forms.FileInput(attrs={"accept": ".zip,application/zip"})
    )
    team = forms.ModelChoiceField(queryset=Team.objects.none(), empty_label=None)
    task = forms.ChoiceField(
        required=False,
        help_text="To be qualified on; by default the first that the manifest names.",
    )
    tournament = forms.ModelChoiceField(
        queryset=Tournament.objects.none(),
        required=False,
        label="Enter in",
        to_field_name="slug",
        empty_label="No tournament yet",
        help_text="It plays once it has qualified.",
    )
    terms = forms.BooleanField(required=False, label="I accept the tournament's terms")

    def __init__(
        self, *args: Any, teams: QuerySet[Team], tournaments: QuerySet[Tournament], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        team, tournament = self.fields["team"], self.fields["tournament"]
        assert isinstance(team, forms.ModelChoiceField)
        assert isinstance(tournament, forms.ModelChoiceField)
        team.queryset, tournament.queryset = teams, tournaments
        task = self.fields["task"]
        assert isinstance(task, forms.ChoiceField)
        task.choices = [("", "As the manifest says"), *((n, n) for n in arena.tasks.names())]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("tournament") and not data.get("terms"):
            raise ValidationError({"terms": "Accept the terms to enter; or choose no tournament."})
        return data


class EnterForm(Styled):
    submission = forms.ModelChoiceField(
        queryset=Submission.objects.none(), to_field_name="uid", empty_label=None
    )
    terms = forms.BooleanField(
        label="I accept the terms",
        error_messages={"required": "Accept the terms of this tournament to enter."},
    )

    def __init__(self, *args: Any, submissions: QuerySet[Submission], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["submission"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = submissions


# --- tournaments --------------------------------------------------------------------------------


class Numbers(forms.CharField):
    """``0.1, 0.2, 0.3``"""

    def to_python(self, value: Any) -> Any:
        text = str(value or "").replace(";", ",")
        try:
            return tuple(float(part) for part in text.split(",") if part.strip())
        except ValueError as error:
            raise ValidationError("Write numbers separated by commas: 0.1, 0.2") from error

    def validate(self, value: Any) -> None:
        if self.required and not value:
            raise ValidationError("Give at least one number.")


class Moment(forms.DateTimeField):
    """A time in UTC."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        super().__init__(widget=widget, required=False, **kwargs)


def _house(*roles: Role) -> list[tuple[str, str]]:
    return [(name, name) for role in roles for name in arena.house.names(role)]


class TournamentForm(Styled):
    title = forms.CharField(max_length=120)
    slug = forms.SlugField(
        max_length=60, required=False, label="Address", help_text="Left empty, one is drawn."
    )
    description = forms.CharField(
        max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    task = forms.ChoiceField()
    split = forms.ChoiceField(
        choices=[
            (SplitName.PRACTICE, "Practice: published, for development"),
            (SplitName.FINAL, "Final: kept by the referee"),
        ]
    )
    visibility = forms.ChoiceField(choices=Visibility.choices)
    opens_at = Moment(label="Opens (UTC)", help_text="Empty: when you open it.")
    closes_at = Moment(label="Entries are due (UTC)")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        task = self.fields["task"]
        assert isinstance(task, forms.ChoiceField)
        task.choices = [(name, name) for name in arena.tasks.names()]

    def plan(self, rounds: tuple[RoundPlan, ...]) -> TournamentPlan:
        data = self.cleaned_data
        return TournamentPlan(
            title=data["title"],
            task=data["task"],
            rounds=rounds,
            slug=data["slug"] or opaque_id(),
            description=data["description"],
            split=data["split"],
            visibility=Visibility(data["visibility"]),
            opens_at=_utc(data["opens_at"]),
            closes_at=_utc(data["closes_at"]),
        )


class RoundForm(Styled):
    title = forms.CharField(max_length=120)
    game = forms.ChoiceField(choices=[(g.value, g.value.replace("_", "-")) for g in GameName])
    preset = forms.ChoiceField(
        label="Threat model", choices=[(name, name) for name in PRESET_NAMES]
    )
    queries = forms.IntegerField(
        required=False,
        min_value=1,
        label="Probes per example",
        help_text="Grey and black only; in extraction rounds in total.",
    )
    norm = forms.ChoiceField(
        choices=[("linf", "L∞"), ("l2", "L2"), ("l1", "L1"), ("l0", "L0")], initial="linf"
    )
    epsilons = Numbers(
        required=False,
        label="ε, ascending",
        help_text="Several make a curve. Poisoning, extraction, patches: leave out.",
    )
    shares = Numbers(
        required=False,
        label="Poisoned shares",
        help_text="Poisoning and backdoor, between 0 and 1.",
    )
    poison_mode = forms.ChoiceField(
        label="Poison", choices=[(m.value, f"{m.value} points") for m in PoisonMode]
    )
    trigger_area = forms.FloatField(
        required=False,
        min_value=0.0001,
        max_value=1,
        initial=0.02,
        label="Trigger area",
        help_text="Backdoor only: share of the features that a patch may set.",
    )
    goal = forms.ChoiceField(choices=[(g.value, g.value) for g in Goal])
    examples = forms.IntegerField(min_value=1, max_value=5000, initial=200)
    attacks = forms.MultipleChoiceField(
        required=False,
        label="House attacks, poisoners and thieves",
        choices=lambda: _house(Role.ATTACK, Role.POISONER, Role.THIEF),
        widget=forms.CheckboxSelectMultiple,
    )
    defenses = forms.MultipleChoiceField(
        required=False,
        label="House defenses and learners",
        choices=lambda: _house(Role.DEFENSE, Role.LEARNER),
        widget=forms.CheckboxSelectMultiple,
    )
    opens_at = Moment(label="Opens (UTC)")
    closes_at = Moment(label="Closes (UTC)")

    def plan(self, *, task: str, split: str) -> RoundPlan:
        """The round as the service takes it.

        Raises:
            ArenaError: switches or budgets that contradict one another.
        """
        data = self.cleaned_data
        game, preset = GameName(data["game"]), data["preset"]
        queries = data["queries"] if preset in ("grey", "black") else None
        spec = RoundSpec(
            game=game,
            task=task,
            split=SplitName(split),
            threat_model=threat_model_for(game, ThreatModel.preset(preset, queries=queries)),
            norm=Norm(data["norm"]),
            epsilons=data["epsilons"],
            shares=data["shares"],
            poison_mode=PoisonMode(data["poison_mode"]),
            **({"trigger_area": data["trigger_area"]} if data["trigger_area"] else {}),
            goal=Goal(data["goal"]),
            examples=data["examples"],
        )
        return RoundPlan(
            title=data["title"],
            spec=spec,
            attacks=tuple(data["attacks"]),
            defenses=tuple(data["defenses"]),
            opens_at=_utc(data["opens_at"]),
            closes_at=_utc(data["closes_at"]),
        )


RoundForms = formset_factory(RoundForm, extra=0, min_num=1, max_num=30, validate_min=True)


def plans_of(
    forms_: BaseFormSet[RoundForm], *, task: str, split: str
) -> tuple[RoundPlan, ...] | None:
    """The rounds of a valid formset; None, with the error on its round, where one cannot be."""
    plans, right = [], True
    for form in forms_:
        if not form.has_changed() and form.empty_permitted:
            continue
        try:
            plans.append(form.plan(task=task, split=split))
        except ArenaError as error:
            form.add_error(None, str(error))
            right = False
    return tuple(plans) if right else None


class ReasonForm(Styled):
    reason = forms.CharField(max_length=500)


class MemberForm(forms.Form):
    """Names a member of a team."""

    user = forms.ModelChoiceField(queryset=User.objects.none(), to_field_name="username")

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["user"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = User.objects.filter(memberships__team=team)


def _utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value
