"""The runner's edges: files that cannot be read, and faults of ours. Matches: in jails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from arena import house
from arena.runner import OUR_FAULT, USAGE, main, read_match
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.fakes import spec


def order(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    round_ = spec(changes.pop("model", None), task="mnist5k")
    return {
        "round": round_.to_json(),
        "attack": "house:fgsm",
        "defense": "house:cnn",
        "seed": 4,
        "secret": "00ff" * 8,
        "out": str(tmp_path / "out"),
        "trusted": True,
        **changes,
    }


def run(tmp_path: Path, content: object) -> int:
    path = tmp_path / "match.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return main([str(path)])


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"out": 3}', "null"])
def test_a_file_that_is_no_match_is_a_usage_error(tmp_path: Path, content: str) -> None:
    assert run(tmp_path, content) == USAGE
    assert main([]) == USAGE


@pytest.mark.parametrize(
    "changes", [{"attack": "/no/such/package.zip"}, {"secret": "xyz"}, {"defense": "house:nobody"}]
)
def test_what_cannot_be_set_up_is_our_fault_and_leaves_a_void_verdict(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    assert run(tmp_path, order(tmp_path, **changes)) == OUR_FAULT
    verdict = Verdict.from_json(json.loads((tmp_path / "out" / "verdict.json").read_text()))
    assert verdict.status is Status.VOID
    assert verdict.fault is not None
    assert verdict.fault.side is None


def test_related_models_come_where_the_round_shows_them(tmp_path: Path) -> None:
    transfer = {"model": ThreatModel.transfer()}
    family = house.manifest("cnn").family
    assert read_match(order(tmp_path, **transfer)).related == house.related(family, "mnist5k")
    assert read_match(order(tmp_path, **transfer, related=[])).related == ()
    assert read_match(order(tmp_path)).related == ()
    given = read_match(order(tmp_path, related=["house:cnn"])).related
    assert given == (house.package("cnn", "mnist5k"),)


def test_the_referee_knows_an_attack_of_the_house_from_a_guest_s_copy_of_it(tmp_path: Path) -> None:
    copy = tmp_path / "copy.zip"
    copy.write_bytes(house.package("fgsm", "mnist5k").to_zip())
    assert read_match(order(tmp_path)).house_attack
    assert not read_match(order(tmp_path, attack=str(copy))).house_attack


def test_a_least_likely_round_gets_the_house_reference(tmp_path: Path) -> None:
    assert read_match(order(tmp_path)).reference is None
    least = {"goal": "targeted", "target_rule": "least_likely"}
    rules = spec(task="mnist5k").to_json() | least
    assert read_match(order(tmp_path, round=rules)).reference == house.package("cnn", "mnist5k")


def test_the_runner_needs_neither_torch_nor_django() -> None:
    code = (
        "import sys, arena.runner\n"
        "print([m for m in ('torch', 'django', 'sklearn', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_order_says_when_the_match_is_ended(tmp_path: Path) -> None:
    assert read_match(order(tmp_path)).seconds is None
    assert read_match(order(tmp_path, seconds=60)).seconds == 60
