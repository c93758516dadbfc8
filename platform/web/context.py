"""What every page shows around its content."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.selectors import may_organize, teams_of
from tournaments.viewer import Viewer


def site(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    return {
        "my_teams": SimpleLazyObject(lambda: list(teams_of(user)) if user else []),
        "viewer": SimpleLazyObject(lambda: Viewer.of(user or AnonymousUser())),
        "may_organize": user is not None and may_organize(user),
    }
