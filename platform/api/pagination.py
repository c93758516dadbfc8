"""Pages by cursor: stable while rows arrive, and never slower at the end."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class Pages(CursorPagination):
    """``?limit=`` rows a page (at most 200); ``next`` and ``previous`` are whole addresses."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200
    ordering: str | tuple[str, ...] = "-id"


class NewestFirst(Pages):
    ordering = ("-created_at", "-id")


class InOrder(Pages):
    ordering = "id"
