"""The client and the commands that use it, against this very site, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import numpy as np
import pytest
import yaml
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections

from accounts.models import Scope
from accounts.services import issue_token
from arena import client
from arena.cli import run
from arena.cli.exits import ExitCode
from arena.client import Client, NotAuthenticated, RequestRefused, ServerFailed
from arena.errors import FaultCode, Side
from arena.verdict import Fault, Kills, Status
from arena.verdict import Verdict as Finding
from leaderboard import services as leaderboard
from submissions import services as submissions
from submissions.models import Submission
from submissions.states import SubmissionState
from tournaments import claims, recording
from tournaments.models import Entry, Match, Tournament

SERVER = "http://localhost"


class Site:
    """What happens on the server whenever a command pauses."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.pauses = 0
        self.work: Callable[[], None] = lambda: None

    def pause(self, seconds: float) -> None:
        self.pauses += 1
        self.work()

    def qualify(self, accepted: bool = True) -> None:
        for row in Submission.objects.filter(state=SubmissionState.QUEUED):
            Submission.objects.filter(pk=row.pk).update(state=SubmissionState.QUALIFYING, attempt=1)
            row.refresh_from_db()
            submissions.record_outcome(
                submission=row,
                attempt=1,
                accepted=accepted,
                sentence="It plays." if accepted else "It answers NaN.",
                figures={"clean_accuracy": 0.9},
                log="",
            )

    def play(self, most: int = 100) -> None:
        index = np.arange(20)
        finding = Finding(
            Status.SCORED,
            metrics={"robust_accuracy": 0.75},
            kills=Kills(index, np.ones(20, bool), (index < 5)[None, :], (0.1,)),
        )
        for _ in range(most):
            match = claims.claim(worker="test")
            if match is None:
                break
            directory = f"matches/{match.uid}/{match.attempt}"
            (self.data / directory).mkdir(parents=True)
            recording.record_verdict(match, finding, files=directory)
        leaderboard.fold_all()


@pytest.fixture
def site(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    """The commands' way to this process's own site."""
    found = Site(Path(settings.DATA))
    transport = httpx.WSGITransport(app=get_wsgi_application())
    monkeypatch.setattr(client, "TRANSPORT", transport)
    monkeypatch.setattr(client, "pause", found.pause)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("ARENA_URL", SERVER)
    monkeypatch.delenv("ARENA_TOKEN", raising=False)
    # As Django's own test client does: the test's transaction outlives each request.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield found
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
    transport.close()


def token(bot: Any, *scopes: Scope) -> str:
    return issue_token(user=bot.user, name="laptop", scopes=scopes or Scope.values).token


@pytest.fixture
def alices(alice: Any, site: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Alice at a terminal that holds her token."""
    monkeypatch.setenv("ARENA_TOKEN", token(alice))
    return alice


@pytest.fixture
def push(tmp_path: Path) -> str:
    folder = tmp_path / "push"
    folder.mkdir()
    (folder / "manifest.toml").write_text(
        'schema_version = 1\nname = "Push"\nrole = "attack"\nentry = "player.py:P"\n'
        'tasks = ["digits"]\n'
    )
    (folder / "player.py").write_text("class P: pass\n")
    return str(folder)


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


# --- logging in -----------------------------------------------------------------------------------


def test_a_token_is_kept_for_its_user_alone_and_for_its_server_alone(
    alice: Any, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    secret = token(alice)
    monkeypatch.setattr("sys.stdin", io.StringIO(secret + "\n"))
    assert run(["auth", "login", "--with-token"]) == ExitCode.OK
    told = capsys.readouterr()
    assert "alice" in told.out
    assert secret not in told.out + told.err
    assert client.token_file().stat().st_mode & 0o777 == 0o600
    assert client.token_for(SERVER) == secret
    assert client.token_for("https://mallory.example.org") == ""
    assert run(["auth", "status"]) == ExitCode.OK
    assert "Team alice" in capsys.readouterr().out
    assert run(["auth", "logout"]) == ExitCode.OK
    assert run(["auth", "status"]) == ExitCode.AUTH


def test_a_token_that_the_server_does_not_take_is_not_kept(
    db: None, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("adv_wrong\n"))
    assert run(["auth", "login", "--with-token"]) == ExitCode.AUTH
    assert not client.token_file().exists()
    assert "unknown, revoked or expired" in capsys.readouterr().err


def test_the_environment_goes_before_the_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    client.store("https://one.example.org", "a")
    client.store("https://two.example.org", "b")
    assert client.chosen_server() == SERVER
    monkeypatch.delenv("ARENA_URL")
    assert client.chosen_server() == "https://two.example.org"
    assert client.chosen_server("one.example.org/") == "https://one.example.org"
    assert client.token_for("https://one.example.org") == "a"
    monkeypatch.setenv("ARENA_TOKEN", "c")
    assert client.token_for("https://one.example.org") == "c"


@pytest.mark.parametrize("address", ["ftp://x", "http://", "https://user@host"])
def test_what_is_no_server_is_refused(address: str) -> None:
    with pytest.raises(client.ClientError, match="no server"):
        client.checked_server(address)
    assert run(["status", "--server", address]) == ExitCode.USAGE


# --- submitting -----------------------------------------------------------------------------------


def test_a_package_is_submitted_entered_played_and_checked(
    alices: Any, spring: Tournament, site: Site, push: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        site.qualify()
        site.play(1)

    site.work = work
    assert run(["submit", push, "--enter", "spring", "--wait", "--json"]) == ExitCode.OK
    told = said(capsys)
    assert told["submission"]["state"] == "qualified"
    assert told["entry"]["state"] == "active"
    assert not Match.objects.filter(attack__uid=told["entry"]["id"], state="pending").exists()
    assert run(["leaderboard", "spring", "--role", "attack"]) == ExitCode.OK
    board = capsys.readouterr().out
    assert "Push" in board
    assert "Team alice" in board
    assert run(["check", "--team", "team alice", "--max-rank", "9", "--json"]) == ExitCode.OK
    (row,) = said(capsys)
    assert row["rank"] == 1
    assert run(["check", "--team", alices.team.uid, "--max-rank", "0"]) == ExitCode.FAILED
    assert Match.objects.first().round.title in capsys.readouterr().out


def test_a_rejected_package_ends_with_status_4_and_the_sentence(
    alices: Any, site: Site, push: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.work = lambda: site.qualify(accepted=False)
    assert run(["submit", push, "--wait"]) == ExitCode.REJECTED
    assert "It answers NaN." in capsys.readouterr().out


def test_the_entry_of_a_rejected_package_is_told_as_it_then_stands(
    alices: Any, spring: Tournament, site: Site, push: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.work = lambda: site.qualify(accepted=False)
    assert run(["submit", push, "--enter", "spring", "--wait"]) == ExitCode.REJECTED
    assert "in spring: refused" in capsys.readouterr().out


def test_waiting_ends_at_the_timeout_and_the_submission_goes_on(
    alices: Any, site: Site, push: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["submit", push, "--wait", "--timeout", "0"]) == ExitCode.TIMED_OUT
    assert Submission.objects.get().state == SubmissionState.QUEUED


def test_a_package_that_breaks_the_format_is_not_even_sent(
    alices: Any, site: Site, push: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(push) / "manifest.toml").write_text("schema_version = 2\n")
    assert run(["submit", push]) == ExitCode.REJECTED
    assert not Submission.objects.exists()


def test_a_refusal_of_the_server_ends_with_status_4(
    alices: Any, site: Site, spring: Tournament, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["enter", "spring", "nowhere"]) == ExitCode.REJECTED
    assert "no such submission of yours" in capsys.readouterr().err
    assert run(["status", "../teams/me"]) == ExitCode.REJECTED


def test_nothing_is_uploaded_for_a_tournament_that_is_not_there(
    alices: Any, site: Site, push: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["submit", push, "--enter", "sprong"]) == ExitCode.REJECTED
    assert "no such tournament" in capsys.readouterr().err
    assert not Submission.objects.exists()


def test_a_token_without_the_scope_ends_with_status_3(
    alice: Any, site: Site, push: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARENA_TOKEN", token(alice, Scope.READ))
    assert run(["submit", push]) == ExitCode.AUTH
    assert run(["status"]) == ExitCode.OK


def test_status_logs_cancel_enter_and_withdraw(
    alices: Any, spring: Tournament, site: Site, push: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["submit", push, "--json"]) == ExitCode.OK
    uid = said(capsys)["submission"]["id"]
    assert run(["status", uid]) == ExitCode.OK
    assert f"{uid}  Push (attack, digits): queued" in capsys.readouterr().out
    assert run(["cancel", uid]) == ExitCode.OK
    assert run(["cancel", uid]) == ExitCode.REJECTED
    assert run(["submit", push]) == ExitCode.OK  # the same package asks for another try
    site.qualify()
    capsys.readouterr()
    assert run(["enter", "spring", uid, "--json"]) == ExitCode.OK
    entry = said(capsys)["id"]
    Submission.objects.update(log="log.txt")
    (site.data / "log.txt").write_text("it [red]plays\x1b[31m\n")
    assert run(["logs", uid]) == ExitCode.OK
    assert "it [red]plays�[31m" in capsys.readouterr().out
    assert run(["withdraw", entry]) == ExitCode.OK
    assert Entry.objects.get(uid=entry).state == "withdrawn"
    assert run(["status"]) == ExitCode.OK
    assert "Push" in capsys.readouterr().out


def test_entering_says_whose_place_is_taken_and_what_is_cancelled(
    alices: Any, spring: Tournament, site: Site, push: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["submit", push, "--enter", "spring"])
    assert "supersedes" not in capsys.readouterr().out
    site.qualify()
    old = Entry.objects.get(team=alices.team)
    left = Match.objects.filter(attack=old, state="pending").count()
    assert left > 0
    player = Path(push) / "player.py"
    player.write_text(player.read_text() + "\n# anew\n")
    assert run(["submit", push, "--enter", "spring"]) == ExitCode.OK
    told = " ".join(capsys.readouterr().out.split())
    assert (
        f"It, once it has qualified, supersedes {old.name} ({old.uid}), which had {left} " in told
    )
    newer = alices.has_qualified("Other")
    answer = alices.post("entries/", {"tournament": "spring", "submission": newer.uid})
    assert answer.json()["supersedes"] == {"id": old.uid, "name": old.name, "unplayed": left}
    again = alices.post("entries/", {"tournament": "spring", "submission": newer.uid})
    assert again.json()["supersedes"] is None


def test_the_log_of_a_match_is_read_by_side(
    alices: Any, spring: Tournament, site: Site, push: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["submit", push])
    site.qualify()
    run(["enter", "spring", Submission.objects.get().uid])
    match = claims.claim(worker="test")
    while match is not None and match.attack.is_house:
        match = claims.claim(worker="test")
    assert match is not None
    fault = Fault(Side.ATTACK, FaultCode.CRASHED, "KeyError")
    finding = Finding(Status.FORFEIT, fault=fault, logs={"attack": "Traceback", "defense": ""})
    recording.record_verdict(match, finding, files="")
    capsys.readouterr()
    assert run(["logs", match.uid, "--side", "attack"]) == ExitCode.OK
    assert capsys.readouterr().out == "Traceback\n"
    assert run(["logs", match.uid, "--side", "referee"]) == ExitCode.REJECTED


# --- check ----------------------------------------------------------------------------------------


def test_check_waits_until_boards_are_folded_too(
    alices: Any, spring: Tournament, site: Site, push: str
) -> None:
    run(["submit", push])
    site.qualify()
    run(["enter", "spring", Submission.objects.get().uid])
    site.work = lambda: site.play(1)
    arguments = ["check", "--team", "Team alice", "--max-rank", "9", "--tournament", "spring"]
    assert run(arguments) == ExitCode.OK
    assert site.pauses >= 1


def test_check_gives_up_at_its_timeout(
    alices: Any, spring: Tournament, site: Site, push: str
) -> None:
    run(["submit", push])
    site.qualify()
    run(["enter", "spring", Submission.objects.get().uid])
    arguments = ["check", "--team", "Team alice", "--max-rank", "9", "--timeout", "0"]
    assert run(arguments) == ExitCode.TIMED_OUT


def test_check_of_an_unknown_team_names_those_that_have_entered(
    alices: Any, spring: Tournament, site: Site, push: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["check", "--team", "Nobody", "--max-rank", "9"]
    assert run(asked) == ExitCode.FAILED
    assert (
        "Nobody is on no board: no team of that name or id has entered; no team has."
        in " ".join(capsys.readouterr().err.split())
    )
    run(["submit", push])
    site.qualify()
    run(["enter", "spring", Submission.objects.get().uid])
    assert run([*asked, "--tournament", "spring"]) == ExitCode.FAILED
    assert "has entered; teams that have are Team alice." in " ".join(
        capsys.readouterr().err.split()
    )


# --- the client itself ----------------------------------------------------------------------------


def answers(*responses: httpx.Response) -> tuple[Client, list[httpx.Request]]:
    """A client of a server that gives these answers in order."""
    asked: list[httpx.Request] = []
    waiting = list(responses)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return waiting.pop(0)

    transport = httpx.MockTransport(answer)
    return Client("https://arena.example.org", token="adv_x", transport=transport), asked


def test_a_throttled_request_waits_as_long_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(client, "pause", waited.append)
    arena, asked = answers(
        httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(200, json={"user": "a"})
    )
    assert arena.me()["user"] == "a"
    assert (waited, len(asked)) == ([7.0], 2)


def test_a_long_wait_is_told_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {"type": "urn:adversarium:problem:quota-exceeded", "detail": "Used up."}
    arena, asked = answers(httpx.Response(429, headers={"Retry-After": "9000"}, json=problem))
    with pytest.raises(RequestRefused, match=r"Used up\.") as refusal:
        arena.submit(b"zip")
    assert (refusal.value.type, refusal.value.status, len(asked)) == ("quota-exceeded", 429, 1)


def test_a_write_is_repeated_under_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "pause", lambda _seconds: None)
    arena, asked = answers(httpx.Response(503), httpx.Response(202, json={"id": "s"}))
    assert arena.submit(b"zip")["id"] == "s"
    first, second = (request.headers["Idempotency-Key"] for request in asked)
    assert first == second
    assert asked[0].headers["Authorization"] == "Bearer adv_x"


def test_a_write_whose_first_request_still_runs_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(client, "pause", waited.append)
    problem = {"type": "urn:adversarium:problem:conflict", "detail": "Still running."}
    running = httpx.Response(409, headers={"Retry-After": "1"}, json=problem)
    arena, asked = answers(httpx.Response(503), running, httpx.Response(202, json={"id": "s"}))
    assert arena.submit(b"zip")["id"] == "s"
    assert (waited, len(asked)) == ([1.0, 1.0], 3)


def test_a_conflict_that_stays_one_is_told_at_once() -> None:
    problem = {"type": "urn:adversarium:problem:conflict", "detail": "Judged already."}
    arena, asked = answers(httpx.Response(409, json=problem))
    with pytest.raises(RequestRefused, match="Judged"):
        arena.cancel("s")
    assert len(asked) == 1


def test_no_answer_sends_the_token_to_another_server() -> None:
    page = {"results": [{"id": "a"}], "next": "https://mallory.example.org/steal/?cursor=c"}
    arena, asked = answers(
        httpx.Response(200, json=page), httpx.Response(200, json={"results": [], "next": None})
    )
    assert [row["id"] for row in arena.submissions()] == ["a"]
    assert str(asked[1].url) == "https://arena.example.org/api/v1/submissions/?cursor=c"
    moved, asked = answers(httpx.Response(302, headers={"Location": "https://mallory.example.org"}))
    with pytest.raises(ServerFailed):
        moved.me()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(401, json={"detail": "No."}), NotAuthenticated),
        (httpx.Response(500, text="<html>"), ServerFailed),
        (httpx.Response(200, text="<html>"), ServerFailed),
        (httpx.Response(404, json=["odd"]), RequestRefused),
    ],
)
def test_each_failure_has_its_own_error(response: httpx.Response, error: type) -> None:
    arena, _ = answers(response)
    with pytest.raises(error):
        arena.me()


def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "pause", lambda _seconds: None)

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    arena = Client("https://arena.example.org", transport=httpx.MockTransport(refuse))
    with pytest.raises(ServerFailed, match=r"cannot be reached .*--server"):
        arena.me()


def test_the_typed_bodies_are_those_of_the_description(project_root: Path) -> None:
    described = yaml.safe_load((project_root / "docs" / "openapi.yaml").read_text())
    schemas = described["components"]["schemas"]
    for name, body in {
        "Team": client.TeamBody, "OwnTeam": client.OwnTeamBody, "Me": client.MeBody,
        "SubmissionDetail": client.SubmissionBody, "Entry": client.EntryBody,
        "Player": client.PlayerBody, "Match": client.MatchBody,
        "Standing": client.StandingBody, "Board": client.BoardBody,
    }.items():  # fmt: skip
        assert set(get_type_hints(body)) == set(schemas[name]["properties"]), name


def test_the_client_needs_neither_torch_nor_numpy() -> None:
    import subprocess
    import sys

    script = (
        "import sys; from arena.client import Client; Client('https://x')\n"
        "print([m for m in ('torch', 'numpy', 'django') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n"
