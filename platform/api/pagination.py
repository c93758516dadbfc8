"""Pages by cursor: stable while rows arrive, and never slower at the end."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

from api.query import number, refused, whole

NO_CURSOR: Final = "This cursor is none: ask for the address of next or previous as it is."


class Pages(CursorPagination):
    """``?limit=`` rows a page (at most 200); ``next`` and ``previous`` are whole addresses."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200
    query = ("limit", "cursor")
    ordering: str | tuple[str, ...] = "-id"

    def get_page_size(self, request: Request) -> int:
        return number(request, "limit", self.page_size, least=1, most=self.max_page_size)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """The description says what ``limit`` may be."""
        found: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in found:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] = whole(1, self.max_page_size, self.page_size)
        return found

    def decode_cursor(self, request: Request) -> Cursor | None:
        """A position that no row can have is refused here, before the database meets it."""
        try:
            cursor = super().decode_cursor(request)
        except NotFound as error:
            raise refused("cursor", NO_CURSOR) from error
        position = None if cursor is None else cursor.position
        if position is not None and not self.may_stand_at(str(position)):
            raise refused("cursor", NO_CURSOR)
        return cursor

    def may_stand_at(self, position: str) -> bool:
        return position.isascii() and position.isdigit() and len(position) < 19


class NewestFirst(Pages):
    ordering = ("-created_at", "-id")

    def may_stand_at(self, position: str) -> bool:
        try:
            time = parse_datetime(position)
        except ValueError:
            return False
        return time is not None and timezone.is_aware(time) and 1970 < time.year < 9999


class InOrder(Pages):
    ordering = "id"
