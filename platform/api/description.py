"""How views become the OpenAPI description, where drf-spectacular would guess wrong."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema

from api import problems


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

    def map_renderers(self, attribute: str) -> list[Any]:
        found = super().map_renderers(attribute)
        return [name for name in found if name != problems.CONTENT_TYPE]


def _is_problem(code: Any) -> bool:
    return isinstance(code, tuple) and code[1] == problems.CONTENT_TYPE
