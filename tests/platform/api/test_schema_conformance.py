"""Whatever is asked, of every operation and as anybody: no server error, no undescribed answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
import yaml
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.models import Scope
from accounts.services import issue_token
from api.throttles import Readers, Visitors, Writers
from tournaments.models import Tournament

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
EXAMPLES = 12


@contextmanager
def one_connection() -> Iterator[None]:
    """The test's transaction outlives each request. (Django's test client undoes this.)"""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        reconnect()


def reconnect() -> None:
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["visitor", "alice", "oscar"])
def test_every_answer_is_described(
    who: str, project_root: Any, spring: Tournament, secret_cup: Tournament,
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, settings: Any,
) -> None:  # fmt: skip
    # The fuzzer's own client does not close what it sent; in memory that costs nothing.
    settings.FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
    for throttle in (Visitors, Readers, Writers):
        monkeypatch.setattr(throttle, "rate", "1000000/min")
    bot = request.getfixturevalue(who)
    alice = request.getfixturevalue("alice")
    sent = alice.has_qualified("Push")
    entry = alice.post("entries/", {"tournament": "spring", "submission": sent.uid}).json()["id"]
    known = {
        "slug": ["spring", "secret-cup"],
        "uid": [
            sent.uid, entry, spring.rounds.get().uid, secret_cup.rounds.get().uid,
            *spring.matches.values_list("uid", flat=True),
        ],
        "name": ["digits", "mnist"],
    }  # fmt: skip
    headers = {}
    if who != "visitor":
        token = issue_token(user=bot.user, name="fuzz", scopes=Scope.values).token
        headers["Authorization"] = f"Bearer {token}"
    described = yaml.safe_load((project_root / "docs" / "openapi.yaml").read_text())
    schema: Any = schemathesis.openapi.from_dict(described)
    schema.app = get_wsgi_application()
    for found in schema.get_all_operations():
        operation = found.ok()

        @rules(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(), pick=...)
        def ask(case: Any, pick: int) -> None:
            for name in re.findall(r"{(\w+)}", case.path):
                choices = known[name]
                if pick % 3:
                    case.path_parameters[name] = choices[pick % len(choices)]
            case.call_and_validate(headers=headers, checks=CHECKS)

        with one_connection():
            ask()
