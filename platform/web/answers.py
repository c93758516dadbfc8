"""What a view raises becomes an answer: 404 and 403 pages, or a sentence above the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from events.errors import NotAllowed, NotThere, Refused

View = Callable[..., HttpResponseBase]


def answered(view: View) -> View:
    """Refusals of services as a person meets them.

    Foreign private things look like things that are not there. A conflict on a button's POST
    leads back to the page that held the button, with the sentence on top.
    """

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except NotThere as error:
            raise Http404(str(error)) from error
        except NotAllowed as error:
            raise PermissionDenied(str(error)) from error
        except Refused as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(back(request))

    return wrapped


def reading(view: View) -> View:
    """GET and HEAD alone, which change nothing: what is known of the reader stays true."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if isinstance(request.user, User):
            request.user.known = {}
        return view(request, *args, **kwargs)

    return require_safe(wrapped)


def page(view: View) -> View:
    """A page that anybody may ask for."""
    return reading(answered(view))


def form_page(view: View) -> View:
    """A page with a form, GET and POST, for anybody."""
    return answered(view)


def member_page(view: View) -> View:
    """One for somebody who is logged in; others are led to the login page."""
    return login_required(page(view))


def member_form(view: View) -> View:
    return login_required(answered(view))


def action(view: View) -> View:
    """A button: POST alone, of somebody who is logged in."""
    return login_required(require_POST(answered(view)))


def person(request: HttpRequest) -> User:
    """Whoever is logged in; for views behind ``login_required``."""
    assert isinstance(request.user, User)
    return request.user


def back(request: HttpRequest, default: str = "/") -> str:
    """The page that the request came from, if it is one of ours."""
    referer = request.headers.get("Referer", "")
    allowed = url_has_allowed_host_and_scheme(
        referer, {request.get_host()}, require_https=request.is_secure()
    )
    if not allowed:
        return default
    parts = urlsplit(referer)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def attachment(content: bytes, *, name: str, kind: str) -> HttpResponse:
    """A download that no browser opens in place."""
    response = HttpResponse(content, content_type=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-store"
    return response
