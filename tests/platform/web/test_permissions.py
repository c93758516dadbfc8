"""Every route as every role. A route that no case names fails the test.

Dana's team owns the submission and the defense; Alice's team is the other one in the tournament;
Oscar runs it; Charlie is logged in and has nothing to do with it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.test import Client

from accounts import services as accounts
from accounts.models import User
from submissions.models import Submission
from tests.platform.web.seeding import World, judge
from tournaments.models import Match, Tournament, Visibility
from tournaments.states import MatchState
from web.urls import urlpatterns

ROLES = ("visitor", "charlie", "dana", "alice", "oscar")
LOGIN = 302


@dataclass(frozen=True)
class Route:
    """What each role gets: status codes in the order of ``ROLES``."""

    name: str
    path: str
    statuses: tuple[int, int, int, int, int]
    method: str = "get"


def everyone(status: int = 200) -> tuple[int, int, int, int, int]:
    return (status,) * 5


def members(status: int = 200) -> tuple[int, int, int, int, int]:
    return (LOGIN, status, status, status, status)


DANA_ALONE = (LOGIN, 404, 200, 404, 404)
DANA_AND_OSCAR = (LOGIN, 404, 200, 404, 200)
DANA_POSTS = (LOGIN, 404, 302, 404, 404)
OSCAR_POSTS = (LOGIN, 404, 404, 404, 302)
ROUTES = (
    Route("home", "/", everyone()),
    Route("home-live", "/parts/home/", everyone()),
    Route("glossary", "/glossary/", everyone()),
    Route("calibration", "/calibration/", everyone()),
    Route("calibration-file", "/calibration.json", everyone()),
    Route("signup", "/signup/", (200, 302, 302, 302, 302)),
    Route("login", "/login/", (200, 302, 302, 302, 302)),
    Route("logout", "/logout/", everyone(302), "post"),
    Route("profile", "/profile/", members()),
    Route("change-password", "/profile/password/", members(422), "post"),
    Route("create-token", "/profile/tokens/", members(422), "post"),
    Route("revoke-token", "/profile/tokens/{token}/revoke/", DANA_POSTS, "post"),
    Route("create-team", "/teams/", members(422), "post"),
    Route("team", "/teams/{team}/", DANA_ALONE),
    Route("invite", "/teams/{team}/invite/", (LOGIN, 404, 200, 404, 404), "post"),
    Route("revoke-invitation", "/teams/{team}/invitations/1/revoke/", DANA_POSTS, "post"),
    Route("leave-team", "/teams/{team}/leave/", DANA_POSTS, "post"),
    Route("hand-over", "/teams/{team}/captain/", DANA_POSTS, "post"),
    Route("remove-member", "/teams/{team}/remove/", DANA_POSTS, "post"),
    Route("join", "/join/adv_unknown/", members(404)),
    Route("tasks", "/tasks/", everyone()),
    Route("task", "/tasks/digits/", everyone()),
    Route("task-data", "/tasks/digits/practice.npz", everyone()),
    Route("task-data", "/tasks/digits/final.npz", everyone(404)),
    Route("task-example", "/tasks/digits/examples/3-0.png", everyone()),
    Route("submissions", "/submissions/", members()),
    Route("submissions-live", "/parts/submissions/", members()),
    Route("upload", "/submissions/new/", members()),
    Route("submission", "/submissions/{submission}/", DANA_AND_OSCAR),
    Route("submission-live", "/parts/submissions/{submission}/", DANA_AND_OSCAR),
    Route("package", "/submissions/{submission}/package.zip", DANA_AND_OSCAR),
    Route("submission-log", "/submissions/{submission}/log.txt", DANA_AND_OSCAR),
    Route(
        "cancel-submission",
        "/submissions/{submission}/cancel/",
        (LOGIN, 404, 302, 404, 403),
        "post",
    ),
    Route("tournaments", "/tournaments/", everyone()),
    Route("create-tournament", "/tournaments/new/", (LOGIN, 403, 403, 403, 200)),
    Route("preview-tournament", "/tournaments/new/preview/", (LOGIN, 403, 403, 403, 200), "post"),
    Route("tournament", "/tournaments/spring/", everyone()),
    Route("boards-live", "/parts/tournaments/spring/boards/?round=2", everyone()),
    Route("boards-live", "/parts/tournaments/spring/boards/?round=9", everyone(404)),
    Route("progress-live", "/parts/tournaments/spring/progress/", everyone()),
    Route("standings-csv", "/tournaments/spring/standings.csv", everyone()),
    Route("rules", "/tournaments/spring/rules/", everyone()),
    Route("entries", "/tournaments/spring/entries/", everyone()),
    Route("enter", "/tournaments/spring/enter/", members(422), "post"),
    Route("matches", "/tournaments/spring/matches/?state=scored", everyone()),
    Route("matches-live", "/parts/tournaments/spring/matches/", everyone()),
    Route("organize", "/tournaments/spring/organize/", (LOGIN, 404, 404, 404, 200)),
    Route("organize-live", "/parts/tournaments/spring/organize/", (LOGIN, 404, 404, 404, 200)),
    Route(
        "organize-entries-live",
        "/parts/tournaments/spring/organize/entries/",
        (LOGIN, 404, 404, 404, 200),
    ),
    Route("move", "/tournaments/spring/move/", OSCAR_POSTS, "post"),
    Route("move-round", "/tournaments/spring/rounds/1/move/", OSCAR_POSTS, "post"),
    Route("clock", "/tournaments/spring/clock/", OSCAR_POSTS, "post"),
    Route("clock-round", "/tournaments/spring/rounds/1/clock/", OSCAR_POSTS, "post"),
    Route("invite-teams", "/tournaments/spring/invite/", (LOGIN, 404, 404, 404, 422), "post"),
    Route("uninvite-team", "/tournaments/spring/uninvite/", (LOGIN, 404, 404, 404, 404), "post"),
    Route("add-organizer", "/tournaments/spring/organizers/", OSCAR_POSTS, "post"),
    Route("remove-organizer", "/tournaments/spring/organizers/remove/", OSCAR_POSTS, "post"),
    Route("pause", "/tournaments/spring/pause/", OSCAR_POSTS, "post"),
    Route("cancel-rest", "/tournaments/spring/cancel-rest/", OSCAR_POSTS, "post"),
    Route("requeue-all", "/tournaments/spring/requeue/", OSCAR_POSTS, "post"),
    Route("withdraw", "/entries/{entry}/withdraw/", (LOGIN, 403, 302, 403, 403), "post"),
    Route("disqualify", "/entries/{entry}/disqualify/", OSCAR_POSTS, "post"),
    Route("reinstate", "/entries/{entry}/reinstate/", OSCAR_POSTS, "post"),
    Route("match", "/matches/{white}/", everyone()),
    Route("match-live", "/parts/matches/{white}/", everyone()),
    Route("requeue-match", "/matches/{white}/requeue/", OSCAR_POSTS, "post"),
    Route("cancel-match", "/matches/{pending}/cancel/", OSCAR_POSTS, "post"),
    # white box, guest against guest: single examples and logs are the organizer's alone
    Route("picture", "/matches/{white}/pictures/attacked-2-0.png", (404, 404, 404, 404, 200)),
    Route("outcome", "/matches/{white}/outcome.parquet", (404, 404, 404, 404, 200)),
    Route("images", "/matches/{white}/images.npz", (404, 404, 404, 404, 200)),
    Route("match-log", "/matches/{white}/attack.log.txt", (404, 404, 404, 404, 200)),
    # black box, which reveals nothing: both sides see examples, each its own log
    Route("picture", "/matches/{black}/pictures/perturbation-2-0.png", (404, 404, 200, 200, 200)),
    Route("outcome", "/matches/{black}/outcome.parquet", (404, 404, 200, 200, 200)),
    Route("match-log", "/matches/{black}/defense.log.txt", (404, 404, 200, 404, 200)),
    Route("match-log", "/matches/{black}/attack.log.txt", (404, 404, 404, 200, 200)),
    # the house against itself: everyone
    Route("picture", "/matches/{house}/pictures/clean-0-0.png", everyone()),
    Route("images", "/matches/{house}/images.npz", everyone()),
    Route("match-log", "/matches/{house}/attack.log.txt", everyone()),
    Route("picture", "/matches/{house}/pictures/clean-0-9999.png", everyone(404)),
)
WALKED_ELSEWHERE = {"live"}  # test_live.py


def people(world: World) -> dict[str, User | None]:
    return {
        "visitor": None,
        "charlie": world.charlie,
        "dana": world.dana,
        "alice": world.alice,
        "oscar": world.oscar,
    }


@pytest.fixture
def names(world: World) -> dict[str, str]:
    """What the paths of ``ROUTES`` name."""
    entry = world.entries["Bulwark v3"]
    assert entry.submission is not None
    _keep_bytes(entry.submission)
    token = accounts.issue_token(user=world.dana, name="bot", scopes=["read"]).api_token
    pending = Match.objects.filter(tournament=world.tournament, state=MatchState.PENDING)
    house = Match.objects.filter(
        tournament=world.tournament, attack__team=None, defense__team=None, round__number=3,
        state=MatchState.SCORED,
    )  # fmt: skip
    found = {"white": world.match("Momentum PGD", "Bulwark v3").uid,
             "black": world.match("Momentum PGD", "Bulwark v3", 3).uid}  # fmt: skip
    return found | {
        "entry": entry.uid,
        "submission": entry.submission.uid,
        "team": world.defenders.uid,
        "token": token.uid,
        "pending": pending[0].uid,
        "house": house[0].uid,
    }


def _keep_bytes(submission: Submission) -> None:
    from submissions.artifacts import name_of, store

    store().save(name_of(submission.sha256), io.BytesIO(b"PK made up"))


def asked(client: Client, route: Route, names: dict[str, str]) -> int:
    path = route.path.format(**names)
    return int(getattr(client, route.method)(path).status_code)


@pytest.mark.parametrize("role", ROLES)
def test_every_route_answers_each_role_as_the_table_says(
    role: str, world: World, names: dict[str, str], as_: Callable[[User | None], Client]
) -> None:
    user, column = people(world)[role], ROLES.index(role)
    reading = [route for route in ROUTES if route.method == "get"]
    got = {route.path: asked(as_(user), route, names) for route in reading}
    assert got == {route.path: route.statuses[column] for route in reading}


WRITING = [route for route in ROUTES if route.method == "post"]


@pytest.mark.parametrize("role", ROLES)
def test_every_button_answers_each_role_as_the_table_says(
    role: str, world: World, names: dict[str, str], as_: Callable[[User | None], Client]
) -> None:
    user, column = people(world)[role], ROLES.index(role)
    got = {}
    for route in WRITING:
        if route.name == "leave-team" and role == "dana":
            continue  # it would change what follows
        got[route.path] = asked(as_(user), route, names)
    assert got == {route.path: route.statuses[column] for route in WRITING if route.path in got}


def test_the_table_names_every_route() -> None:
    known = {route.name for route in ROUTES} | WALKED_ELSEWHERE
    assert {pattern.name for pattern in urlpatterns} == known


@pytest.mark.parametrize("name", sorted({route.path for route in ROUTES if "spring" in route.path}))
def test_a_private_tournament_is_nowhere_for_an_outsider(
    name: str, world: World, as_: Callable[[User | None], Client]
) -> None:
    Tournament.objects.update(visibility=Visibility.PRIVATE)
    route = next(route for route in ROUTES if route.path == name)
    for user in (None, world.charlie):
        status = asked(as_(user), route, {})
        assert status == 404 or (user is None and status == LOGIN)


def test_a_private_match_is_nowhere_for_an_outsider(
    world: World, names: dict[str, str], as_: Callable[[User | None], Client]
) -> None:
    Tournament.objects.update(visibility=Visibility.PRIVATE)
    for route in ROUTES:
        if route.path.startswith("/matches/") and route.method == "get":
            assert asked(as_(world.charlie), route, names) == 404
    assert asked(as_(world.dana), ROUTES[0], names) == 200


def test_no_page_of_a_private_tournament_shows_on_the_front_page(
    world: World, as_: Callable[[User | None], Client]
) -> None:
    Tournament.objects.update(visibility=Visibility.PRIVATE)
    assert "Spring league" not in as_(None).get("/").content.decode()
    assert "Momentum PGD" not in as_(None).get("/parts/home/").content.decode()
    assert "Spring league" in as_(world.dana).get("/").content.decode()


def test_buttons_refuse_a_plain_visit(
    world: World, names: dict[str, str], as_: Callable[[User | None], Client]
) -> None:
    for route in WRITING:
        assert as_(world.oscar).get(route.path.format(**names)).status_code == 405


def test_a_fault_s_own_words_are_for_its_side_alone(
    world: World, names: dict[str, str], as_: Callable[[User | None], Client]
) -> None:
    """The sentence of the engine may quote what Mallory's player printed."""
    match = world.match("Momentum PGD", "Bulwark v3", 1)
    match.verdict.delete()
    judge(match, fault="attack")
    page = f"/matches/{match.uid}/"
    assert "secret of Mallory" in as_(world.oscar).get(page).content.decode()
    for user in (None, world.dana, world.charlie):
        text = as_(user).get(page).content.decode()
        assert "secret of Mallory" not in text
        assert "The player crashed." in text
