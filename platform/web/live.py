"""The live stream: one a page, filtered by what its reader may know at the moment of telling.

A process looks at the outbox once for all its streams (when hinted, and every second anyhow), and
wakes those streams; each then reads its own events above its own cursor. A stream never sends
content, only "the board has changed": the page fetches the fragment, by the rules of its view.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, connections
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse

from accounts.models import User
from accounts.selectors import Person
from events import hints
from events import selectors as outbox
from events.errors import NotThere
from events.models import Event
from tournaments import selectors
from tournaments.models import Match

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 15.0
LIFE_SECONDS: Final = 900.0
"""After this long a browser connects anew; nothing is lost, by Last-Event-ID."""
BATCH_SECONDS: Final = 1.0
"""A stream speaks at most this often: pages then fetch at most this often."""
MOST_EVENTS: Final = 500

R = TypeVar("R")


@dataclass(frozen=True)
class Scope:
    """What a page follows. Primary key and opaque id of at most one thing."""

    tournament: int | None = None
    match: str = ""
    submission: str = ""

    def names(self, event: Event) -> Iterable[str]:
        """What this event means to the page: names of ``sse:`` triggers."""
        kind = event.kind.partition(".")[0]
        if self.match and kind == "match":
            return ["match"] if event.payload.get("match") == self.match else []
        if self.submission and kind == "submission":
            return ["submission"] if event.payload.get("submission") == self.submission else []
        return [kind]

    def follows(self, uid: str, tournament: int | None) -> bool:
        """Whether progress of this match or submission shows on the page."""
        if self.match or self.submission:
            return uid in (self.match, self.submission)
        return self.tournament is not None and tournament == self.tournament


def scope_of(user: Person, request: HttpRequest) -> Scope:
    """Raises NotThere for what this reader may not know of."""
    if slug := request.GET.get("tournament"):
        return Scope(tournament=selectors.get(user, slug).pk)
    if uid := request.GET.get("match"):
        match = selectors.get_match(user, uid)
        return Scope(tournament=match.tournament_id, match=match.uid)
    if uid := request.GET.get("submission"):
        return Scope(submission=selectors.get_submission(user, uid).uid)
    return Scope()


# --- the process's one look at the outbox ---------------------------------------------------------


class Hub:
    """Wakes the streams of one event loop."""

    def __init__(self) -> None:
        self.latest = 0
        self.progress: dict[str, int] = {}
        """uid -> number of the wake in which it last told something."""
        self.wakes = 0
        self.closing = False
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._streams = 0

    async def __aenter__(self) -> Hub:
        self._streams += 1
        if self._task is None:
            _leave_politely(self)
            self._task = asyncio.create_task(self._follow(), context=contextvars.Context())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._streams -= 1
        if self._streams == 0 and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _follow(self) -> None:
        looked = 0.0
        async for channel, message in hints.listen(every=LOOK_SECONDS):
            told = channel == hints.PROGRESS and self._note(message)
            now = time.monotonic()
            if channel == hints.EVENTS or now - looked >= LOOK_SECONDS:
                looked = now
                told |= await self._look()
            if told:
                await self.wake()

    def _note(self, message: str) -> bool:
        try:
            uid = json.loads(message)["id"]
        except (ValueError, KeyError, TypeError):
            return False
        self.progress.pop(uid, None)
        self.progress[uid] = self.wakes + 1
        while len(self.progress) > 1000:
            self.progress.pop(next(iter(self.progress)))
        return True

    async def _look(self) -> bool:
        try:
            latest = await in_thread(outbox.latest)
        except DatabaseError as error:
            logger.warning("The live stream waits for the database: %s", error)
            return False
        changed, self.latest = latest != self.latest, latest
        return changed

    async def wake(self) -> None:
        async with self._changed:
            self.wakes += 1
            self._changed.notify_all()

    async def changed(self, since: int) -> int:
        """The number of wakes, once it is above ``since`` or a heartbeat is due."""
        async with self._changed:
            if self.wakes <= since and not self.closing:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), BEAT_SECONDS)
        return self.wakes

    def close(self) -> None:
        """Ends every stream, so that the server need not wait for open pages."""
        self.closing = True
        asyncio.ensure_future(self.wake())  # noqa: RUF006 (the loop is about to end)


_HUBS: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    loop = asyncio.get_running_loop()
    if loop not in _HUBS:
        _HUBS[loop] = Hub()
    return _HUBS[loop]


def _leave_politely(hub: Hub) -> None:
    """Hear the server's own signals first: it would wait for streams that wait for events."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if not callable(before) or isinstance(before, _Closing):
            continue
        signal.signal(number, _Closing(hub, loop, before))


@dataclass(frozen=True)
class _Closing:
    """A handler of signals that ends the streams before the server's own is called."""

    hub: Hub
    loop: asyncio.AbstractEventLoop
    before: Callable[..., Any]

    def __call__(self, number: int, frame: Any) -> None:
        self.loop.call_soon_threadsafe(self.hub.close)
        self.before(number, frame)


async def in_thread(function: Callable[..., R], *args: Any) -> R:
    """Off the loop, on a thread that outlives the request, leaving no connection behind."""

    def run() -> R:
        try:
            return function(*args)
        finally:
            connections.close_all()

    found: R = await sync_to_async(run, thread_sensitive=False)()
    return found


# --- the stream -----------------------------------------------------------------------------------


async def stream(request: HttpRequest) -> HttpResponseBase:
    """``/live/?tournament=SLUG``, ``?match=UID``, ``?submission=UID``, or nothing."""
    user = await request.auser()
    try:
        scope = await in_thread(scope_of, user, request)
    except NotThere as error:
        raise Http404(str(error)) from error
    cursor = _cursor(request)
    if cursor is None:
        cursor = await in_thread(outbox.latest)
    response = StreamingHttpResponse(
        _messages(user.pk, scope, cursor), content_type="text/event-stream"
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _cursor(request: HttpRequest) -> int | None:
    given = request.headers.get("Last-Event-ID") or request.GET.get("after") or ""
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None


async def _messages(user: int | None, scope: Scope, cursor: int) -> AsyncIterator[bytes]:
    ends = time.monotonic() + LIFE_SECONDS
    yield b"retry: 2000\n\n"
    async with hub() as streams:
        seen = streams.wakes
        while not streams.closing and time.monotonic() < ends:
            names, cursor = await in_thread(read, user, scope, cursor)
            names |= await in_thread(_moving, scope, _uids(streams, seen))
            seen = streams.wakes
            for name in sorted(names):
                yield f"id: {cursor}\nevent: {name}\ndata: {cursor}\n\n".encode()
            if not names:
                yield b": beat\n\n"
            await asyncio.sleep(BATCH_SECONDS if names else 0)
            await streams.changed(seen)


def _uids(streams: Hub, seen: int) -> tuple[str, ...]:
    return tuple(uid for uid, wake in streams.progress.items() if wake > seen)


def read(user: int | None, scope: Scope, cursor: int) -> tuple[set[str], int]:
    """What has happened above ``cursor`` that the reader may know, and the new cursor.

    The reader's rights are read anew each time: who leaves a team hears nothing more.
    """
    person: Person = _person(user)
    last = outbox.latest()
    if last <= cursor:
        return set(), cursor
    found = selectors.visible_events(person, after=cursor).filter(id__lte=last)
    if scope.tournament is not None:
        found = found.filter(tournament=scope.tournament)
    events = list(found[:MOST_EVENTS])
    names = {name for event in events for name in scope.names(event)}
    return names, last if len(events) < MOST_EVENTS else events[-1].pk


def _person(pk: int | None) -> Person:
    """Somebody whose account is closed in the meantime is a visitor."""
    if pk is None:
        return AnonymousUser()
    return User.objects.filter(pk=pk, is_active=True).first() or AnonymousUser()


def _moving(scope: Scope, uids: tuple[str, ...]) -> set[str]:
    moving = any(scope.follows(uid, _tournament_of(uid)) for uid in uids)
    return {"progress"} if moving else set()


@lru_cache(maxsize=4096)
def _tournament_of(uid: str) -> int | None:
    """Of a match; None for a submission."""
    return Match.objects.filter(uid=uid).values_list("tournament_id", flat=True).first()
