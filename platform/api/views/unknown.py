from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.views.base import View
from events.errors import NotThere


@extend_schema(exclude=True)
class UnknownView(View):
    """Addresses of the API that do not exist: a problem body, not a page."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotThere("The API has no such address; its description is at /api/v1/openapi.yaml.")

    def check_query(self, request: Request) -> None:
        """Whatever is asked of it: there is no such address."""

    def get(self, request: Request, path: str) -> Response:
        raise NotImplementedError

    post = put = patch = delete = get
