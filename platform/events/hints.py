"""Redis as a mere hint: "there is something new". Everything works, slower, without it.

Every key and channel carries the installation's prefix.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Any, Final

import redis
import redis.asyncio
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError as KombuError

logger = logging.getLogger(__name__)

EVENTS: Final = "events"
PROGRESS: Final = "progress"
PROGRESS_SECONDS: Final = 3600
_TIMEOUT: Final = 1.0
_ONE_RETRY: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1}


def key(name: str) -> str:
    return f"{settings.INSTALLATION}:{name}"


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, decode_responses=True, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT
    )


def client() -> redis.Redis | None:
    """A client of this process, or None where this installation has no broker."""
    return _client(settings.REDIS_URL) if settings.REDIS_URL else None


def reachable() -> bool:
    try:
        return bool((found := client()) and found.ping())
    except redis.RedisError:
        return False


def _publish(channel: str, message: str) -> None:
    found = client()
    if found is None:
        return
    try:
        found.publish(key(channel), message)
    except redis.RedisError as error:
        logger.debug("A hint was lost: %s", error)


def announce(event: int) -> None:
    """Wake the streams: event ``event`` has committed."""
    _publish(EVENTS, str(event))


def report_progress(uid: str, progress: Mapping[str, Any]) -> None:
    """Keep and publish how far a match or a submission is."""
    found = client()
    if found is None:
        return
    text = json.dumps({"id": uid, **progress})
    try:
        with found.pipeline(transaction=False) as pipe:
            pipe.set(key(f"{PROGRESS}:{uid}"), text, ex=PROGRESS_SECONDS)
            pipe.publish(key(PROGRESS), text)
            pipe.execute()
    except redis.RedisError as error:
        logger.debug("Progress was lost: %s", error)


def progress_of(uids: list[str]) -> dict[str, dict[str, Any]]:
    """The last progress of each match or submission that has any, by its opaque id."""
    found = client()
    if found is None or not uids:
        return {}
    try:
        texts = found.mget([key(f"{PROGRESS}:{uid}") for uid in uids])
    except redis.RedisError:
        return {}
    assert isinstance(texts, list)
    return {uid: json.loads(text) for uid, text in zip(uids, texts, strict=True) if text}


def forget_progress(uid: str) -> None:
    found = client()
    if found is None:
        return
    try:
        found.delete(key(f"{PROGRESS}:{uid}"))
    except redis.RedisError as error:
        logger.debug("Progress was not forgotten: %s", error)


async def listen(*, every: float = 2.0) -> AsyncIterator[tuple[str, str]]:
    """(channel, message) as hints arrive; ("tick", "") at least each ``every`` seconds.

    ``channel`` is EVENTS (message: an event's id) or PROGRESS (message: JSON). For an event
    stream: on EVENTS and on a tick read the outbox from the cursor; a broker that is away only
    leaves the ticks.
    """
    import asyncio

    while True:
        if not settings.REDIS_URL:
            yield "tick", ""
            await asyncio.sleep(every)
            continue
        connection = redis.asyncio.Redis.from_url(settings.REDIS_URL, decode_responses=True)
        try:
            async with connection, connection.pubsub() as subscription:
                await subscription.subscribe(key(EVENTS), key(PROGRESS))
                while True:
                    message = await subscription.get_message(
                        ignore_subscribe_messages=True, timeout=every
                    )
                    if message is None:
                        yield "tick", ""
                    else:
                        yield message["channel"].rpartition(":")[2], message["data"]
        except redis.RedisError:
            yield "tick", ""
            await asyncio.sleep(every)


def wake(task: str, *, times: int = 1) -> None:
    """Send Celery the message "there is work" ``times`` times. It may be lost; the reaper sees.

    ``task`` is a task's full name: this layer does not know the ones above it.
    """
    if not settings.REDIS_URL:
        return
    try:
        for _ in range(times):
            current_app.send_task(task, retry=True, retry_policy=_ONE_RETRY)
    except (KombuError, redis.RedisError, OSError) as error:
        logger.warning("Workers were not told of work (%s); the reaper will.", error)
