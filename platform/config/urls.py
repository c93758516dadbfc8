"""Routes: the API, the health checks, and the pages at the root."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from config.environment import installed
from config.health import healthz, readyz

handler500 = "config.failing.failed"
urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
if installed("api.urls"):
    urlpatterns.append(path("api/v1/", include("api.urls")))
if installed("web.urls"):
    urlpatterns.append(path("", include("web.urls")))
