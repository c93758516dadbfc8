"""Signing up, logging in, one's own page with teams, API tokens and the password."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import selectors, services
from events.errors import Invalid
from web.answers import action, form_page, member_page, person
from web.forms import PasswordForm, SignUpForm, TeamForm, TokenForm

BACKEND = "accounts.backends.UsernameOrEmail"


class LogIn(LoginView):
    template_name = "web/login.html"
    redirect_authenticated_user = True
    extra_context = {"section": "login"}

    def get_form(self, form_class: Any = None) -> AuthenticationForm:
        form = super().get_form(form_class)
        form.fields["username"].label = "Pseudonym or email address"
        for field in form.fields.values():
            field.widget.attrs["class"] = "form-control"
        return form


@sensitive_post_parameters("password")
@never_cache
@form_page
def signup(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("profile")
    form = SignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = services.sign_up(**form.cleaned_data)
        except ValidationError as error:
            _tell(form, error)
        else:
            login(request, user, backend=BACKEND)
            messages.success(request, f"Welcome, {user.username}. Create a team or join one.")
            return redirect(_next(request) or "profile")
    status = 422 if form.errors else 200
    context = {"form": form, "next": _next(request), "section": "login"}
    return render(request, "web/signup.html", context, status=status)


def _tell(form: Form, error: ValidationError) -> None:
    """Each sentence beside its field."""
    for field, sentences in error.message_dict.items():
        form.add_error(field if field in form.fields else None, sentences)


def _next(request: HttpRequest) -> str:
    """Where an invitation led here from, if it is a page of ours."""
    wanted = str(request.POST.get("next") or request.GET.get("next") or "")
    ours = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    return wanted if ours else ""


TEAM_IDS, TOKEN_IDS, PASSWORD_IDS = "team_%s", "token_%s", "password_%s"
"""The forms stand on one page, and two ask for a name."""


@never_cache
@member_page
def profile(request: HttpRequest) -> HttpResponse:
    return _profile(request)


def _profile(request: HttpRequest, *, status: int = 200, **more: object) -> HttpResponse:
    user = person(request)
    context = {
        "teams": selectors.teams_of(user).prefetch_related("memberships__user"),
        "tokens": selectors.tokens_of(user),
        "team_form": TeamForm(auto_id=TEAM_IDS),
        "token_form": TokenForm(auto_id=TOKEN_IDS),
        "password_form": PasswordForm(auto_id=PASSWORD_IDS),
        "section": "profile",
        **more,
    }
    return render(request, "web/profile.html", context, status=status)


@action
def create_team(request: HttpRequest) -> HttpResponse:
    form = TeamForm(request.POST, auto_id=TEAM_IDS)
    if form.is_valid():
        try:
            team = services.create_team(user=person(request), name=form.cleaned_data["name"])
            return redirect("team", uid=team.uid)
        except Invalid as error:
            form.add_error("name", str(error))
    return _profile(request, status=422, team_form=form)


@never_cache
@action
def create_token(request: HttpRequest) -> HttpResponse:
    """Shows the token in this very answer, and never again."""
    form = TokenForm(request.POST, auto_id=TOKEN_IDS)
    if form.is_valid():
        try:
            issued = services.issue_token(user=person(request), **form.cleaned_data)
            return _profile(request, issued=issued)
        except Invalid as error:
            form.add_error(None, str(error))
    return _profile(request, status=422, token_form=form)


@action
def revoke_token(request: HttpRequest, uid: str) -> HttpResponse:
    services.revoke_token(user=person(request), uid=uid)
    messages.success(request, "The token is revoked; it lets nobody in any more.")
    return redirect("profile")


@sensitive_post_parameters("current", "password")
@never_cache
@action
def change_password(request: HttpRequest) -> HttpResponse:
    """This session goes on; all others of the account end."""
    user, form = person(request), PasswordForm(request.POST, auto_id=PASSWORD_IDS)
    if form.is_valid():
        try:
            services.change_password(user=user, **form.cleaned_data)
        except ValidationError as error:
            _tell(form, error)
        else:
            update_session_auth_hash(request, user)
            messages.success(request, "The password is changed; you are logged in here alone.")
            return redirect("profile")
    return _profile(request, status=422, password_form=form)
