"""The description of the API, and pages to try it; offline and under the strict policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api import problems
from api.query import check_names


class ForEverybody(APIView):
    """Errors are problem bodies, whatever the view shows when all is well."""

    authentication_classes: Any = ()
    permission_classes: Any = (AllowAny,)
    query: ClassVar[tuple[str, ...]] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        check_names(request, self.query, empty=self.query)

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        return problems.handle

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        if response.exception:
            request.accepted_renderer = problems.ProblemRenderer()
            request.accepted_media_type = problems.CONTENT_TYPE
        done: Response = super().finalize_response(request, response, *args, **kwargs)
        return done


class SchemaView(ForEverybody, SpectacularAPIView):
    pass


class DocsView(ForEverybody, SpectacularSwaggerSplitView):
    """Without inline script or style; everything comes from this server."""

    query = ("script",)
    template_name = "api/docs.html"
    url_name = "api:schema"
