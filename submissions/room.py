"""Whether the disk takes what comes next. On a full one every match would end as a fault of ours,
three times over, and be void; so workers wait, and uploads are refused with a sentence."""

from __future__ import annotations

import logging
import os
from typing import Final

from django.conf import settings

logger = logging.getLogger(__name__)

LEAST_BYTES: Final = 256 * 1024 * 1024
"""Of the data directory's disk: what a few matches side by side write."""


def has_room() -> bool:
    try:
        disk = os.statvfs(settings.DATA)
    except OSError:  # not made yet, or gone: whoever writes there says so
        return True
    return disk.f_bavail * disk.f_frsize >= LEAST_BYTES


def may_work() -> bool:
    """For a worker that is about to claim: as :func:`has_room`, and the operator reads why not."""
    room = has_room()
    if not room:
        logger.error(
            "Nothing is played: less than %d MiB are free in %s. Free some, or give it more; "
            "what waits goes on by itself.",
            LEAST_BYTES >> 20,
            settings.DATA,
        )
    return room
