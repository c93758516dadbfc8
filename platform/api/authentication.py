"""Who asks: a token in ``Authorization: Bearer``, or the browser's session (with CSRF)."""

from __future__ import annotations

from typing import Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from accounts.models import ApiToken, User
from accounts.services import use_token

SCHEME: Final = "Bearer"


class TokenAuthentication(BaseAuthentication):
    """``request.auth`` is the token, whose scopes bound what its user may do."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        found = use_token(token.strip())
        if found is None:
            raise exceptions.AuthenticationFailed("This token is unknown, revoked or expired.")
        return found.user, found

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


class BrowserAuthentication(SessionAuthentication):
    """The session of the pages, so that the documentation can be tried out when logged in."""


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token from your account page.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "api.authentication.BrowserAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
