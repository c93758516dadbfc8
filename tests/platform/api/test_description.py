"""The OpenAPI file is the one that the code makes, and the pages that show it work offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from api.problems import SLUGS, URN
from api.throttles import Readers, Visitors, Writers
from tournaments.models import Tournament


def generated() -> dict[str, Any]:
    with GENERATOR_STATS.silence():
        schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    text = OpenApiYamlRenderer().render(schema, renderer_context={})  # type: ignore[no-untyped-call]
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def test_the_committed_description_is_up_to_date(project_root: Path) -> None:
    committed = yaml.safe_load((project_root / "docs" / "openapi.yaml").read_text())
    assert committed == generated(), (
        "run: manage.py spectacular --file docs/openapi.yaml --validate --fail-on-warn"
    )


def test_the_description_is_valid_and_nothing_in_it_had_to_be_guessed() -> None:
    GENERATOR_STATS.reset()
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    validate_schema(schema)  # type: ignore[no-untyped-call]
    assert not GENERATOR_STATS
    GENERATOR_STATS.reset()


def test_every_operation_names_itself_and_its_problems() -> None:
    operations = [o for path in generated()["paths"].values() for o in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) >= 20
    for operation in operations:
        assert "429" in operation["responses"], operation["operationId"]
        assert operation["description"], operation["operationId"]
        assert 0 < len(operation["summary"]) <= 100, operation["operationId"]


def test_problem_types_are_listed_and_stay() -> None:
    listed = generated()["components"]["schemas"]["TypeEnum"]["enum"]
    assert sorted(listed) == sorted(URN + slug for slug in SLUGS)
    assert {"not-found", "conflict", "invalid", "quota-exceeded", "throttled"} <= set(SLUGS)


def test_the_pages_hold_no_inline_script_and_nothing_from_elsewhere(visitor: Any) -> None:
    page = visitor.get("docs/")
    text = page.content.decode()
    assert page.status_code == 200
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
    assert not re.search(r"""(src|href)=["'](https?:)?//""", text)
    script = visitor.client.get(re.findall(r'src="([^"]+script=[^"]*)"', text)[0])
    assert script.headers["Content-Type"] == "application/javascript"
    assert "/api/v1/openapi.yaml" in script.content.decode()
    assert visitor.get("openapi.yaml").status_code == 200


def test_what_the_pages_load_is_installed(visitor: Any, settings: Any) -> None:
    from django.contrib.staticfiles import finders

    text = visitor.get("docs/").content.decode()
    assets = re.findall(rf'(?:src|href)="{settings.STATIC_URL}([^"]+)"', text)
    assert len(assets) == 6
    assert all(finders.find(asset) for asset in assets)


def test_lists_are_described_with_their_filters_and_pages() -> None:
    asked = generated()["paths"]["/api/v1/submissions/"]["get"]["parameters"]
    names = {parameter["name"] for parameter in asked}
    assert names == {"cursor", "limit", "role", "state", "task", "team"}


def test_the_description_says_how_often_one_may_ask_and_how_many_rows_come(
    project_root: Path,
) -> None:
    told, bots = generated(), (project_root / "docs" / "bots.md").read_text()
    for throttle in (Visitors, Readers, Writers):
        rate = f"{int(throttle.rate.partition('/')[0]):,}"
        assert rate in told["info"]["description"]
        assert rate in bots
    for path, most in (("matches/", 200), ("events/", 500)):
        operation = told["paths"][f"/api/v1/{path}"]["get"]
        assert "Retry-After" in operation["responses"]["429"]["headers"]
        (limit,) = [p["schema"] for p in operation["parameters"] if p["name"] == "limit"]
        assert (limit["minimum"], limit["maximum"]) == (1, most)


def test_a_right_answer_is_never_labelled_a_problem(visitor: Any) -> None:
    """A client that accepts both tells them apart by the label."""
    both = "application/problem+json, application/json"
    assert visitor.get("tasks/", Accept=both).headers["Content-Type"] == "application/json"
    refused = visitor.get("teams/me/", Accept=both)
    assert refused.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("address", ["docs/", "openapi.yaml"])
def test_what_is_refused_of_the_pages_is_a_problem_too(address: str, visitor: Any) -> None:
    asked = [
        (visitor.get(address, Accept="image/png"), 406, "not-acceptable"),
        (visitor.post(address), 405, "method-not-allowed"),
        (visitor.get(address, {"a": 1}, Accept="application/problem+json, */*"), 400, "malformed"),
    ]
    for answer, status, slug in asked:
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["type"] == URN + slug
        assert answer.json()["status"] == status


READS = ("teams/me/", "submissions/{uid}/", "submissions/{uid}/log/", "tasks/", "matches/")
WRITES = (
    "submissions/", "submissions/{uid}/cancel/", "entries/", "entries/{uid}/withdraw/",
    "tournaments/", "tournaments/{slug}/clock/", "tournaments/{slug}/invite/", "rounds/{uid}/move/",
)  # fmt: skip


@pytest.mark.parametrize("address", READS)
def test_a_token_that_may_not_read_gets_an_answer_that_is_described(
    address: str, alice: Any
) -> None:
    alice.carries(("submit",))
    answer = alice.get(address.format(uid="nobody"))
    assert answer.status_code == 403
    assert "scope read" in answer.json()["detail"]


@pytest.mark.parametrize("address", WRITES)
def test_a_format_that_nobody_reads_is_refused_as_it_is_described(
    address: str, oscar: Any, spring: Tournament
) -> None:
    where = address.format(uid=spring.rounds.get().uid, slug="spring")
    answer = oscar.client.post(
        f"/api/v1/{where}", "hello", content_type="text/plain", headers={"Idempotency-Key": "once"}
    )
    assert answer.status_code == 415
    assert answer.json()["type"] == URN + "unsupported-media-type"
