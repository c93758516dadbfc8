"""A tournament with people around it, talked to over the API alone."""

from __future__ import annotations

import functools
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from accounts.models import Scope, Team, User
from accounts.services import create_team, issue_token
from arena.rounds import GameName, RoundSpec
from arena.threat_model import ThreatModel
from submissions import services as submissions
from submissions.models import Submission
from submissions.states import SubmissionState
from tournaments import services as tournaments
from tournaments.models import Tournament, Visibility
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import Phase

API = "/api/v1"
DESCRIBED = Path(__file__).parents[3] / "docs" / "openapi.yaml"
ALL = tuple(Scope.values)


def package(name: str, role: str = "attack", **more: str) -> bytes:
    """A zip of a package whose manifest is right; it is never run here."""
    manifest = f'schema_version = 1\nname = "{name}"\nrole = "{role}"\nentry = "player.py:P"\n'
    manifest += "".join(f"{key} = {value}\n" for key, value in more.items())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("manifest.toml"), manifest)
        archive.writestr(zipfile.ZipInfo("player.py"), "class P: pass\n")
    return buffer.getvalue()


# --- every answer of every test is held against the description --------------------------------


def as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: null is a type, and fields that are not described are refused."""
    if isinstance(node, list):
        return [as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: as_json_schema(value) for key, value in node.items() if key != "nullable"}
    if isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return {"anyOf": [found, {"type": "null"}]} if node.get("nullable") is True else found


@functools.cache
def description() -> Any:
    return as_json_schema(yaml.load(DESCRIBED.read_text(), Loader=yaml.CSafeLoader))


@functools.cache
def operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Fixed addresses first: they are no names."""
    paths = sorted(description()["paths"].items(), key=lambda item: "{" in item[0])
    return [(re.compile(re.sub(r"{\w+}", r"[\\w-]+", path)), found) for path, found in paths]


@functools.cache
def validator(schema: str) -> Any:
    whole = {**json.loads(schema), "components": description()["components"]}
    return jsonschema_rs.validator_for(whole, validate_formats=True)


def assert_described(method: str, path: str, answer: Any) -> None:
    """Status, label and body are those that the operation's description promises."""
    found = next((it for pattern, it in operations() if pattern.fullmatch(path)), {})
    operation = found.get(method.lower())
    if operation is None:
        return
    asked = f"{method} {path}: {answer.status_code}"
    assert str(answer.status_code) in operation["responses"], f"{asked} is not described"
    contents = operation["responses"][str(answer.status_code)].get("content")
    if contents is None:
        assert answer.content == b"", asked
        return
    label = answer.headers["Content-Type"].partition(";")[0]
    assert label in contents, f"{asked}: {label} is not described"
    if not answer.streaming:
        validator(json.dumps(contents[label]["schema"])).validate(json.loads(answer.content))


@pytest.fixture(autouse=True)
def _answers_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = APIClient.request

    def asked(client: APIClient, **request: Any) -> Any:
        answer = ask(client, **request)
        if answer.status_code < 500:  # our fault is nowhere promised
            assert_described(request["REQUEST_METHOD"], request["PATH_INFO"], answer)
        return answer

    monkeypatch.setattr(APIClient, "request", asked)


class Bot:
    """A client with a person's token; ``team`` is the person's own."""

    def __init__(self, user: User | None = None, team: Team | None = None) -> None:
        self.client = APIClient()
        self._user, self._team = user, team
        if user is not None:
            self.carries(ALL)

    @property
    def user(self) -> User:
        assert self._user is not None
        return self._user

    @property
    def team(self) -> Team:
        assert self._team is not None
        return self._team

    def carries(self, scopes: tuple[str, ...]) -> Bot:
        token = issue_token(user=self.user, name="bot", scopes=scopes).token
        self.client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return self

    def get(self, path: str, data: Mapping[str, Any] | None = None, **headers: str) -> Any:
        return self.client.get(f"{API}/{path}", data, headers=headers)

    def post(self, path: str, data: Mapping[str, Any] | None = None, **headers: str) -> Any:
        return self.client.post(f"{API}/{path}", data or {}, format="json", headers=headers)

    def submit(self, archive: bytes | str, **fields: Any) -> Any:
        """Uploads these bytes, or a package of that name."""
        headers = fields.pop("headers", {})
        archive = package(archive) if isinstance(archive, str) else archive
        file = SimpleUploadedFile("package.zip", archive, "application/zip")
        return self.client.post(
            f"{API}/submissions/", {"archive": file, **fields}, format="multipart", headers=headers
        )

    def has_qualified(self, name: str, role: str = "attack", **more: str) -> Submission:
        """A submission that qualification accepted."""
        archive = io.BytesIO(package(name, role, **more))
        row = submissions.submit(team=self.team, user=self.user, archive=archive).submission
        Submission.objects.filter(pk=row.pk).update(state=SubmissionState.QUALIFYING, attempt=1)
        submissions.record_outcome(
            submission=row,
            attempt=1,
            accepted=True,
            sentence="It plays.",
            figures={"seconds": 1.5},
            log="",
        )
        row.refresh_from_db()
        return row


@pytest.fixture(autouse=True)
def _own_data(settings: Any, tmp_path: Path) -> None:
    settings.DATA = tmp_path
    settings.REDIS_URL = ""
    cache.clear()  # throttles count there


def person(name: str) -> Bot:
    user = User.objects.create(username=name, email=f"{name}@example.org")
    return Bot(user, create_team(user=user, name=f"Team {name}"))


@pytest.fixture
def alice(db: None) -> Bot:
    return person("alice")


@pytest.fixture
def dana(db: None) -> Bot:
    return person("dana")


@pytest.fixture
def mallory(db: None) -> Bot:
    return person("mallory")


@pytest.fixture
def oscar(db: None) -> Bot:
    bot = person("oscar")
    User.objects.filter(pk=bot.user.pk).update(is_organizer=True)
    bot.user.refresh_from_db()
    return bot


@pytest.fixture
def visitor(db: None) -> Bot:
    return Bot()


def hold(organizer: Bot, slug: str, visibility: Visibility = Visibility.PUBLIC) -> Tournament:
    """An open tournament on digits: one white round against the house."""
    spec = RoundSpec(GameName.EVASION, "digits", ThreatModel.white(), epsilons=(0.1,), examples=20)
    plan = TournamentPlan(
        title=slug.capitalize(),
        task="digits",
        slug=slug,
        visibility=visibility,
        rounds=(RoundPlan("White", spec, attacks=("fgsm",), defenses=("cnn",)),),
    )
    tournament = tournaments.create(plan, organizer=organizer.user)
    return tournaments.move(tournament=tournament, to=Phase.OPEN, organizer=organizer.user)


@pytest.fixture
def spring(oscar: Bot) -> Tournament:
    return hold(oscar, "spring")


@pytest.fixture
def secret_cup(oscar: Bot) -> Tournament:
    return hold(oscar, "secret-cup", Visibility.PRIVATE)
