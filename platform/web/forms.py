"""Forms of the pages. They check shape; services check rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import QueryDict

import arena.tasks
from accounts.models import Scope, Team, User
from arena.rounds import SplitName
from events.errors import Invalid
from events.identifiers import opaque_id
from submissions.models import Submission
from tournaments.models import Round, Tournament, Visibility
from tournaments.services import RoundPlan, TournamentPlan

_FIELDS: dict[type[forms.Widget], str] = {
    forms.CheckboxInput: "form-check-input",
    forms.CheckboxSelectMultiple: "form-check-input",
    forms.Select: "form-select",
}


def _class_of(widget: forms.Widget) -> str:
    known = (name for kind, name in _FIELDS.items() if isinstance(widget, kind))
    return next(known, "form-control")


def tasks_offered() -> list[tuple[str, str]]:
    """All tasks as choices; one whose data was not imported here says so."""
    here = set(arena.tasks.at_hand())
    return [(n, n if n in here else f"{n} (not on this machine)") for n in arena.tasks.names()]


class Styled(forms.Form):
    """Widgets with the site's classes, and errors tied to them for screen readers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.setdefault("class", _class_of(field.widget))


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


class PasswordForm(Styled):
    current = forms.CharField(
        label="Your password of today",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    password = forms.CharField(
        label="The new one",
        help_text="At least 8 characters, not a common one.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    revoke_tokens = forms.BooleanField(
        required=False,
        label="Revoke my API tokens too",
        help_text="They stay good otherwise. Tick it where somebody else may know the password.",
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
        task.choices = [("", "As the manifest says"), *tasks_offered()]

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
            (SplitName.PRACTICE, "Practice: published"),
            (SplitName.FINAL, "Final: kept back"),
        ],
        help_text="Anyone may look up labels of the practice split.",
    )
    visibility = forms.ChoiceField(choices=Visibility.choices)
    opens_at = Moment(label="Opens (UTC)", help_text="Empty: when you open it.")
    closes_at = Moment(label="Entries are due (UTC)")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        task = self.fields["task"]
        assert isinstance(task, forms.ChoiceField)
        task.choices = tasks_offered()

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
            opens_at=utc(data["opens_at"]),
            closes_at=utc(data["closes_at"]),
        )


class ClockForm(Styled):
    """When a tournament or a round opens and closes.

    What the page showed travels along, so that of two organizers neither takes back what the other
    has set: ``changes`` holds no more than what was changed on this page.
    """

    opens_at = Moment(label="Opens (UTC)", show_hidden_initial=True)
    closes_at = Moment(label="Entries are due (UTC)", show_hidden_initial=True)

    @classmethod
    def of(cls, clocked: Tournament | Round, data: QueryDict | None = None) -> ClockForm:
        initial = {name: _minute(getattr(clocked, name)) for name in ("opens_at", "closes_at")}
        form = cls(data, initial=initial, auto_id=f"clock-{clocked.pk}-%s")
        if isinstance(clocked, Round):
            form.auto_id = f"clock-round-{clocked.number}-%s"
            form.fields["closes_at"].label = "Closes (UTC)"
        return form

    def changes(self) -> dict[str, datetime | None]:
        """Raises Invalid with the first thing that is wrong."""
        if not self.is_valid():
            name, problems = next(iter(self.errors.items()))
            raise Invalid(f"{self.fields[name].label}: {problems[0]}")
        return {name: utc(self.cleaned_data[name]) for name in self.changed_data}


def _minute(value: datetime | None) -> datetime | None:
    """As the field of a browser holds it."""
    return value and value.replace(second=0, microsecond=0)


class GuestsForm(Styled):
    teams = forms.CharField(
        max_length=4000,
        label="Invite teams",
        help_text="Names, one a line.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def names(self) -> list[str]:
        return self.cleaned_data["teams"].splitlines() if self.is_valid() else []


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


def utc(value: Any) -> Any:
    """A form's time, which is in UTC unless it says otherwise."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value
