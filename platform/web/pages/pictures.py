"""Arrays as PNG: examples, attacked images, and what was added to them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from numpy.typing import NDArray
from PIL import Image

from accounts.selectors import Person
from arena.tasks import Split
from events.errors import NotThere
from tournaments import selectors, visibility
from tournaments.models import Match
from tournaments.states import MatchState
from web.answers import page
from web.pages.rows import arrays_of

PER_CLASS: Final = 6
STRIPS: Final = ("poison", "triggered", "chosen", "published", "fresh")
KINDS: Final = ("clean", "perturbation", "attacked", *STRIPS)
EMBER: Final = np.array([234.0, 88.0, 12.0])
TIDE: Final = np.array([13.0, 148.0, 136.0])
PAPER: Final = np.array([246.0, 245.0, 241.0])

Pixels = NDArray[np.uint8]


def png(pixels: Pixels) -> HttpResponse:
    """(height, width[, 3]) uint8 as an image."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return HttpResponse(buffer.getvalue(), content_type="image/png")


def pixels_of(image: NDArray[Any]) -> Pixels:
    """One example (channels, height, width) in [0, 1]."""
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise NotThere("This example is no picture.")
    scaled = np.clip(np.nan_to_num(image.astype(np.float64)), 0, 1) * 255
    moved: Pixels = np.moveaxis(np.round(scaled).astype(np.uint8), 0, -1)
    grey: Pixels = moved[..., 0]
    return grey if moved.shape[-1] == 1 else moved


def perturbation_pixels(delta: NDArray[Any]) -> Pixels:
    """x' - x, scaled to its own largest change: added is ember, taken away is tide."""
    change = np.nan_to_num(delta.astype(np.float64)).mean(axis=0)
    most = float(np.abs(change).max()) or 1.0
    share = (np.abs(change) / most)[..., None]
    colour = np.where((change > 0)[..., None], EMBER, TIDE)
    mixed: Pixels = np.round(PAPER * (1 - share) + colour * share).astype(np.uint8)
    return mixed


@lru_cache(maxsize=32)
def first_of_class(split: Split, label: int, number: int) -> Pixels:
    found = np.flatnonzero(split.y == label)
    if number >= len(found):
        raise NotThere("There is no such example.")
    return pixels_of(split.x[found[number]])


# --- of a match ---------------------------------------------------------------------------------


@cache_control(private=True, max_age=3600)
@page
def picture(request: HttpRequest, uid: str, kind: str, level: int, number: int) -> HttpResponse:
    """``kind``: clean, perturbation or attacked; or a strip (poison, triggered, ...) of points."""
    arrays = arrays_of(request.user, selectors.get_match(request.user, uid))
    return png(_picture(arrays, kind, level, number))


def _picture(arrays: dict[str, NDArray[Any]], kind: str, level: int, number: int) -> Pixels:
    try:
        if kind in STRIPS:
            return pixels_of(arrays[kind][number])
        clean = arrays["clean"][number]
        if kind == "clean":
            return pixels_of(clean)
        attacked = arrays["attacked"][level, number]
    except (KeyError, IndexError) as error:
        raise NotThere("There is no such picture.") from error
    if kind == "attacked":
        return pixels_of(attacked)
    pixels_of(clean)  # no picture: refused
    return perturbation_pixels(attacked.astype(np.float64) - clean)


# --- for the front page -------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A kill to look at: picture ``number`` of the last level of ``match``."""

    match: Match
    level: int
    number: int
    label: str
    mistaken: str
    confidence: float


def showcase(user: Person) -> Shown | None:
    """A recent kill among the house's own matches, whose images everyone may see."""
    recent = selectors.matches(user).filter(
        state=MatchState.SCORED, attack__team=None, defense__team=None, verdict__isnull=False
    )
    for match in recent.order_by("-finished_at")[:12]:
        if visibility.may_see_images(user, match) and (found := _kill(user, match)):
            return found
    return None


def _kill(user: Person, match: Match) -> Shown | None:
    from web.pages.outcomes import gallery

    try:
        shown = gallery(user, match, level=None, most=1)
    except NotThere:
        return None
    if shown is None or not shown.pictures or not shown.cards or not shown.cards[0].broken:
        return None
    card = shown.cards[0]
    return Shown(
        match, shown.level, card.number, card.label, card.attacked_as, card.attacked_confidence
    )
