"""A small typed client of the REST API (docs/bots.md). It needs httpx, not torch.

    with Client("https://arena.example.org", token="adv_...") as arena:
        sent = arena.submit(Path("my-defense.zip").read_bytes())
        print(arena.submission(sent["id"])["state"])

Errors::

    ClientError
    ├── NotAuthenticated   no token, one the server does not take, or one that may not do this
    ├── RequestRefused     the server refused; ``problem`` is its body (RFC 9457)
    └── ServerFailed       the server, or the way to it, does not work

Requests that are safe to repeat are repeated: reading, and writing under an Idempotency-Key.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, cast
from urllib.parse import urlsplit

from arena.errors import ArenaError

if TYPE_CHECKING:
    import httpx

API: Final = "/api/v1/"
DEFAULT_SERVER: Final = "http://127.0.0.1:8000"
TRIES: Final = 4
LONGEST_PAUSE: Final = 60.0
"""Seconds that a throttled request waits by itself; longer ones are told to the caller."""
SECONDS: Final = 60.0

TRANSPORT: httpx.BaseTransport | None = None
"""Another way to the server than the network, for tests."""
pause = time.sleep


class ClientError(ArenaError):
    """A request that did not end well; ``str(error)`` is a sentence."""


class NotAuthenticated(ClientError):
    """No token, one that the server does not take, or one that may not do this."""


class RequestRefused(ClientError):
    """The server refused. ``problem``: its body; ``status``: the HTTP status."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        super().__init__(str(problem.get("detail") or f"The server answered {status}."))
        self.problem = problem
        self.status = status

    @property
    def type(self) -> str:
        return str(self.problem.get("type", "")).rpartition(":")[2]


class ServerFailed(ClientError):
    """The server failed, or cannot be reached."""


# --- bodies: the keys of docs/openapi.yaml, held to it by a test ----------------------------------


class TeamBody(TypedDict):
    id: str
    name: str


class OwnTeamBody(TypedDict):
    id: str
    name: str
    role: str
    members: list[str]
    quota: dict[str, Any]
    pending_matches: int
    pending_submissions: int


class MeBody(TypedDict):
    user: str
    scopes: list[str] | None
    teams: list[OwnTeamBody]


class SubmissionBody(TypedDict):
    """``manifest`` and what follows it are not in lists."""

    id: str
    url: str
    team: TeamBody
    name: str
    role: str
    task: str
    sha256: str
    bytes: int
    state: str
    pending: bool
    sentence: str
    figures: dict[str, Any]
    created_at: str
    finished_at: str | None
    manifest: dict[str, Any]
    queue_position: int | None
    estimated_finish: str | None
    progress: dict[str, Any]


class EntryBody(TypedDict):
    id: str
    tournament: str
    name: str
    team: TeamBody | None
    house: str
    role: str
    player: str
    state: str
    entered_at: str
    active_since: str | None
    submission: str | None
    reason: str | None
    manifest: dict[str, Any] | None


class SupersededBody(TypedDict):
    id: str
    name: str
    unplayed: int


class EnteredBody(EntryBody):
    """``supersedes``: your team's entry of the same role, which goes once this one plays."""

    supersedes: SupersededBody | None


class PlayerBody(TypedDict):
    id: str
    name: str
    team: TeamBody | None
    house: str


class MatchBody(TypedDict):
    """One match as lists show it; :meth:`Client.match` gives more."""

    id: str
    tournament: str
    round: str
    attack: PlayerBody
    defense: PlayerBody
    state: str
    attempt: int
    sentence: str
    started_at: str | None
    finished_at: str | None
    verdict: dict[str, Any] | None


class StandingBody(TypedDict):
    entry: PlayerBody
    position: int
    rank: int | None
    rank_low: int | None
    rank_high: int | None
    headline: float | None
    interval_low: float | None
    interval_high: float | None
    clean_accuracy: float | None
    metrics: dict[str, Any]
    provisional: bool
    below_floor: bool
    met: int
    pending: int
    reasons: list[str]
    flags: list[dict[str, Any]]


class BoardBody(TypedDict):
    tournament: str
    round: str
    role: str
    headline: str
    title: str
    higher_is_better: bool
    upper_bound: bool
    examples: int
    floor: float
    pool_version: str
    as_of: str | None
    frozen: bool
    rows: list[StandingBody]


class Client:
    """Talks to one server with one token. Use it as a context, or :meth:`close` it."""

    def __init__(
        self, server: str, *, token: str = "", transport: httpx.BaseTransport | None = None
    ) -> None:
        import httpx

        self.server = checked_server(server)
        headers = {"Accept": "application/json", "User-Agent": "arena-client"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            base_url=self.server + API,
            headers=headers,
            timeout=SECONDS,
            transport=transport or TRANSPORT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- who you are ------------------------------------------------------------------------------

    def me(self) -> MeBody:
        return cast(MeBody, self.get("teams/me/"))

    # --- submissions ------------------------------------------------------------------------------

    def submit(self, archive: bytes, *, team: str = "", task: str = "") -> SubmissionBody:
        """Upload a zip. The same package twice is one submission."""
        fields = {key: value for key, value in (("team", team), ("task", task)) if value}
        files = {"archive": ("package.zip", archive, "application/zip")}
        return cast(SubmissionBody, self.post("submissions/", data=fields, files=files))

    def submission(self, id: str) -> SubmissionBody:  # noqa: A002 (the API's word)
        return cast(SubmissionBody, self.get(f"submissions/{_part(id)}/"))

    def submissions(self, **filters: str) -> Iterator[SubmissionBody]:
        """All of your teams', newest first; ``state``, ``role``, ``task``, ``team`` filter."""
        return cast(Iterator[SubmissionBody], self.pages("submissions/", filters))

    def submission_log(self, id: str) -> str:  # noqa: A002
        return str(self.get(f"submissions/{_part(id)}/log/")["log"])

    def cancel(self, id: str) -> SubmissionBody:  # noqa: A002
        return cast(SubmissionBody, self.post(f"submissions/{_part(id)}/cancel/"))

    # --- tournaments ------------------------------------------------------------------------------

    def tournaments(self, **filters: str) -> Iterator[dict[str, Any]]:
        return self.pages("tournaments/", filters)

    def tournament(self, slug: str) -> dict[str, Any]:
        """With its rounds and counts."""
        return self.get(f"tournaments/{_part(slug)}/")

    def enter(self, tournament: str, submission: str) -> EnteredBody:
        body = {"tournament": tournament, "submission": submission}
        return cast(EnteredBody, self.post("entries/", json=body))

    def entry(self, id: str) -> EntryBody:  # noqa: A002
        return cast(EntryBody, self.get(f"entries/{_part(id)}/"))

    def entries(self, tournament: str, **filters: str) -> Iterator[EntryBody]:
        path = f"tournaments/{_part(tournament)}/entries/"
        return cast(Iterator[EntryBody], self.pages(path, filters))

    def withdraw(self, id: str) -> EntryBody:  # noqa: A002
        return cast(EntryBody, self.post(f"entries/{_part(id)}/withdraw/"))

    # --- matches and boards -----------------------------------------------------------------------

    def matches(self, **filters: str | list[str]) -> Iterator[MatchBody]:
        """``tournament``, ``round``, ``state``, ``attack``, ``defense``, ``entry``, ``team``,
        ``mine`` filter."""
        return cast(Iterator[MatchBody], self.pages("matches/", filters))

    def match(self, id: str) -> dict[str, Any]:  # noqa: A002
        return self.get(f"matches/{_part(id)}/")

    def match_log(self, id: str, side: str) -> str:  # noqa: A002
        return str(self.get(f"matches/{_part(id)}/log/", {"side": side})["log"])

    def outcome(self, id: str) -> bytes:  # noqa: A002
        """The Parquet file of a match, where you may read it."""
        return self._request("GET", f"matches/{_part(id)}/outcome/").content

    def standings(self, tournament: str, **filters: str) -> list[BoardBody]:
        """``round`` and ``role`` filter."""
        body = self.get(f"tournaments/{_part(tournament)}/standings/", filters)
        return cast(list[BoardBody], body["boards"])

    def matrix(self, round: str) -> dict[str, Any]:  # noqa: A002
        return self.get(f"rounds/{_part(round)}/matrix/")

    def events(self, after: int = 0, *, tournament: str = "") -> dict[str, Any]:
        """``events``, the next ``cursor``, and whether there is ``more`` at once."""
        query = {"after": str(after)} | ({"tournament": tournament} if tournament else {})
        return self.get("events/", query)

    # --- requests ---------------------------------------------------------------------------------

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return cast(dict[str, Any], _json(self._request("GET", path, params=query)))

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Under a key of its own, so that a retry cannot act twice."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return cast(dict[str, Any], _json(self._request("POST", path, headers=headers, **body)))

    def pages(self, path: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Every row, page after page."""
        params: Mapping[str, Any] | None = query
        while True:
            body = self.get(path, params)
            yield from body["results"]
            if not body.get("next"):
                return
            # Only the query is taken from the server's link: no answer sends the token elsewhere.
            path, params = f"{path.partition('?')[0]}?{urlsplit(body['next']).query}", None

    def _request(self, method: str, path: str, **body: Any) -> httpx.Response:
        import httpx

        for attempt in range(1, TRIES + 1):
            try:
                response = self._http.request(method, path, **body)
            except httpx.TransportError as error:
                if attempt == TRIES:
                    raise ServerFailed(
                        f"{self.server} cannot be reached ({error}): check the address (--server, "
                        "ARENA_URL, or `arena auth login`), and whether the site runs."
                    ) from error
                pause(attempt)
                continue
            wait = _wait(response, attempt)
            if wait is None or attempt == TRIES:
                return _checked(response)
            pause(wait)
        raise ServerFailed(f"{self.server} did not answer.")


def _wait(response: httpx.Response, attempt: int) -> float | None:
    """Seconds until it makes sense to ask again; None where it does not."""
    if response.status_code in (502, 503, 504):
        return float(attempt)
    # 429: throttled. 409 with a time to come back: the first request under this key still runs.
    if response.status_code not in (409, 429):
        return None
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds <= LONGEST_PAUSE else None


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    problem = _problem(response)
    sentence = str(problem.get("detail", ""))
    if response.status_code in (401, 403):
        raise NotAuthenticated(sentence or "The server does not take this token.")
    if 400 <= response.status_code < 500:
        raise RequestRefused(problem, response.status_code)
    raise ServerFailed(sentence or f"The server answered {response.status_code}.")


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise ServerFailed("The server answered without JSON: is this an arena?") from None


def _part(text: str) -> str:
    """One part of a path: an id from the command line names nothing else."""
    from urllib.parse import quote

    return quote(text, safe="") or "-"


# --- servers and tokens ---------------------------------------------------------------------------


def checked_server(address: str) -> str:
    """``https://host[:port]`` without anything behind it."""
    parts = urlsplit(address if "://" in address else f"https://{address}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ClientError(f"{address!r} is no server; write https://host.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}".removesuffix("/api/v1")


def token_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "arena" / "token"


def stored() -> dict[str, str]:
    """Server to token; the one logged in to last comes last."""
    try:
        lines = token_file().read_text("utf-8").splitlines()
    except OSError:
        return {}
    pairs = [line.split() for line in lines]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def store(server: str, token: str) -> Path:
    """Keep (or, with an empty token, forget) the token of a server, for this user's eyes alone."""
    known = {key: value for key, value in stored().items() if key != server}
    if token:
        known[server] = token
    path = token_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = "".join(f"{key} {value}\n" for key, value in known.items())
    fresh = path.with_name(f".token-{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
    return path


def chosen_server(given: str | None = None) -> str:
    """``given``, else ``ARENA_URL``, else the one logged in to last, else this machine's."""
    found = given or os.environ.get("ARENA_URL") or next(reversed(stored()), DEFAULT_SERVER)
    return checked_server(found)


def token_for(server: str) -> str:
    """``ARENA_TOKEN``, else the one stored for this very server: none is sent to another."""
    return os.environ.get("ARENA_TOKEN", "").strip() or stored().get(server, "")
