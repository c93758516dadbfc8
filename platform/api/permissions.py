"""What a token lets its holder do. Whose objects these are is the selectors' business."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.models import ApiToken, Scope


class Scoped(BasePermission):
    """Reading needs the token's scope ``read``; a view names its writes' in ``write_scope``."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, ApiToken):
            return True
        scope = Scope.READ if request.method in SAFE_METHODS else view.write_scope
        self.message = f"This token lacks the scope {scope!s}."
        return request.auth.allows(scope)


class LoggedIn(BasePermission):
    """401 with a challenge for visitors."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user.is_authenticated)
