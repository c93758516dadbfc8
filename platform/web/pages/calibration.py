"""The house players against the figures of their papers, as the last calibration found them."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from arena import measured
from web.answers import page


def _file() -> tuple[Path, bool]:
    """The file that is shown, and whether it is this site's own."""
    own = settings.CALIBRATION
    return (Path(own), True) if own else (measured.SHIPPED, False)


@page
def calibration(request: HttpRequest) -> HttpResponse:
    file, own = _file()
    context: dict[str, object] = {"section": "calibration", "own": own}
    try:
        lines = measured.read(file)
    except measured.MeasuredError as error:
        context["missing"] = str(error)
    else:
        held = sum(line.held for line in lines)
        context |= {
            "groups": measured.grouped(lines),
            "summary": measured.summary(lines),
            "missed": len(lines) - held,
        }
    return render(request, "web/calibration.html", context)


@page
def calibration_file(request: HttpRequest) -> HttpResponse:
    """The lines as JSON, as ``python -m arena.calibrate --json`` wrote them."""
    file, _ = _file()
    if not file.is_file():
        raise Http404("No calibration has been kept here yet.")
    return HttpResponse(file.read_bytes(), content_type="application/json")
