"""How views become the OpenAPI description, where drf-spectacular would guess wrong."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from api import problems

RETRY_AFTER: Final = OpenApiParameter(
    "Retry-After",
    int,
    OpenApiParameter.HEADER,
    description="Seconds until you may ask again.",
    response=[429],
)


class Description(AutoSchema):
    """Problem bodies stand beside an operation's answer, and must not be taken for it."""

    def _is_list_view(self, serializer: Any = None) -> bool:
        """By the answer of success: only lists are described with their filters and pages.

        drf-spectacular takes the first key as a text, and those with a media type come first.
        """
        found: Any = self.get_response_serializers() if serializer is None else serializer
        if isinstance(found, dict):
            found = {code: answer for code, answer in found.items() if not _is_problem(code)}
        return bool(super()._is_list_view(found))

    def get_summary(self) -> str:
        """The first sentence of the description, to stand beside the path on the page."""
        first: str = self.get_description().partition("\n")[0]
        return first.partition(". ")[0].removesuffix(".").replace("`", "")

    def get_override_parameters(self) -> list[Any]:
        return [*super().get_override_parameters(), RETRY_AFTER]

    def map_renderers(self, attribute: str) -> list[Any]:
        found = super().map_renderers(attribute)
        return [name for name in found if name != problems.CONTENT_TYPE]


def _is_problem(code: Any) -> bool:
    return isinstance(code, tuple) and code[1] == problems.CONTENT_TYPE
