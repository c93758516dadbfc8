"""docs/bots.md names the operations, the problems and the rates that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from api.problems import KNOWN, SLUGS
from api.throttles import Readers, Visitors, Writers


@pytest.fixture
def guide(project_root: Path) -> str:
    return (project_root / "docs" / "bots.md").read_text()


def test_every_operation_is_named(guide: str, project_root: Path) -> None:
    described = yaml.safe_load((project_root / "docs" / "openapi.yaml").read_text())
    operations = {
        f"{method.upper()} {path.removeprefix('/api/v1/')}"
        for path, methods in described["paths"].items()
        for method in methods
        if method in ("get", "post")
    }
    named = set(re.findall(r"`((?:GET|POST) [^`?]+/)`", guide))
    assert named == operations


def test_every_problem_is_named_with_its_status(guide: str) -> None:
    table = dict(re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", guide, re.MULTILINE))
    assert set(table) == set(SLUGS)
    assert {slug: int(table[slug]) for _, (slug, _) in KNOWN.items()} == {
        slug: code for code, (slug, _) in KNOWN.items()
    }


def test_the_rates_are_those_of_the_throttles(guide: str) -> None:
    (sentence,) = re.findall(r"- \*\*Throttles\.\*\* ([^.]*)\.", guide)
    numbers = [int(n.replace(",", "")) for n in re.findall(r"[\d,]+\d", sentence)]
    assert [f"{n}/min" for n in numbers] == [Readers.rate, Writers.rate, Visitors.rate]
