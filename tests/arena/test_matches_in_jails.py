"""Whole matches in real jails: guests written as a team would write them, on scikit-learn's digits.

Alice attacks, Dana defends, Mallory cheats.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.errors import FaultCode, Side
from arena.packages import Package
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, Limits, RoundSpec
from arena.sandbox.backend import SandboxBackend
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict

pytestmark = [pytest.mark.jail, pytest.mark.slow]
MARK = b"DANA-KEEPS-THIS-TO-HERSELF"

DEFENSE = """
import numpy as np
from arena.players import Defense

class Player(Defense):
    def load(self):
        self.w = np.load(self.package / "weights.npz")["w"]

    def predict(self, x):
        return np.c_[x.reshape(len(x), -1), np.ones(len(x))].astype(np.float32) @ self.w
"""

ATTACK = """
import numpy as np
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        rng, best = challenge.rng(), challenge.x.copy()
        broken = np.zeros(len(best), bool)
        for _ in range(12):
            step = challenge.epsilon * rng.choice([-1.0, 1.0], challenge.x.shape)
            x = challenge.clip(challenge.x + step)
            wrong = challenge.defense.ask(x).argmax(1) != challenge.y
            best[wrong & ~broken] = x[wrong & ~broken]
            broken |= wrong
        return best
"""

SEARCHES_ITS_JAIL = """
import os
import numpy as np
from arena.players import EvasionAttack

MARK = b"DANA-KEEPS-THIS-" + b"TO-HERSELF"

class Player(EvasionAttack):
    def attack(self, challenge):
        seen, found = 0, 0
        for root in ("/sub", "/tmp", "/dev/shm", "/home", "/root", "/opt", "/var"):
            for folder, _, names in os.walk(root):
                for name in names:
                    try:
                        with open(os.path.join(folder, name), "rb") as file:
                            content = file.read()
                    except OSError:
                        continue
                    seen += 1
                    found += MARK in content
        found += any(MARK.decode() in value for value in os.environ.values())
        print("files", seen, "marks", found, flush=True)
        given = {k for k, v in vars(challenge).items() if v is not None and k != "related"}
        given |= {"related"} if challenge.related else set()
        print("fields", sorted(given), flush=True)
        return challenge.x
"""

SUBMITS_HALF_AND_HANGS = ATTACK.replace(
    "        return best",
    """
        half = np.arange(len(best) // 2)
        challenge.submit(best[half], half)
        while True:
            pass
""",
)

ASKS_TOO_MUCH = """
from arena.players import EvasionAttack, QueryBudgetExceeded

class Player(EvasionAttack):
    def attack(self, challenge):
        refused = 0
        for _ in range(5):
            try:
                challenge.defense.ask(challenge.x)
            except QueryBudgetExceeded as error:
                print(error, flush=True)
                refused += 1
        print("refused", refused, flush=True)
        return challenge.x
"""


def manifest(role: str, **values: Any) -> bytes:
    lines = ["schema_version = 1", f'name = "{role}"', f'role = "{role}"', 'task = "digits"']
    lines += ['entry = "player.py:Player"']
    lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines).encode()


def attack(source: str = ATTACK) -> Package:
    return Package.of({"manifest.toml": manifest("attack"), "player.py": source.encode()})


@cache
def defense(source: str = DEFENSE) -> Package:
    train = tasks.load("digits").train
    x = np.c_[train.x.reshape(len(train), -1), np.ones(len(train))].astype(np.float64)
    w = np.linalg.lstsq(x.T @ x + np.eye(x.shape[1]), x.T @ np.eye(10)[train.y], rcond=None)[0]
    buffer = io.BytesIO()
    np.savez(buffer, w=w.astype(np.float32), mark=np.frombuffer(MARK, np.uint8))
    files = {
        "manifest.toml": manifest("defense", weights="weights.npz", description=MARK.decode()),
        "player.py": source.encode() + b"\n# " + MARK,
        "weights.npz": buffer.getvalue(),
    }
    return Package.of(files)


def black(queries: int = 12, **rules: Any) -> RoundSpec:
    values: dict[str, Any] = {
        "game": GameName.EVASION,
        "task": "digits",
        "threat_model": ThreatModel.black(queries),
        "epsilons": (0.3,),
        "examples": 40,
    }
    return RoundSpec(**{**values, **rules})


def match(
    backend: SandboxBackend,
    *,
    round_: RoundSpec | None = None,
    alice: Package | None = None,
    dana: Package | None = None,
) -> Verdict:
    spec = MatchSpec(
        round=round_ or black(),
        attack=alice or attack(),
        defense=dana or defense(),
        seed=3,
        secret=b"s" * 32,
    )
    return play_match(spec, backend=backend, task=tasks.load("digits"))


def test_guests_play_and_the_same_match_gives_the_same_verdict(backend: SandboxBackend) -> None:
    one, other = match(backend), match(backend)
    assert one.status is Status.SCORED, one.fault
    assert one.metrics["clean_accuracy"] > 0.85  # type: ignore[operator]
    assert 0.05 < one.metrics["attack_success_rate"] < 1  # type: ignore[operator]
    assert one.metrics["rejected"] == 0
    assert one.metrics["queries"] == 12 * 40
    assert one.metrics == other.metrics
    assert one.kills.to_json() == other.kills.to_json()  # type: ignore[union-attr]


def test_what_a_black_round_withholds_is_nowhere_in_the_attacks_jail(
    backend: SandboxBackend,
) -> None:
    black_box = match(backend, alice=attack(SEARCHES_ITS_JAIL))
    assert black_box.status is Status.SCORED, black_box.fault
    log = black_box.logs["attack"]
    assert "marks 0" in log
    fields = log.partition("fields ")[2]
    for withheld in ("package", "architecture", "related", "family", "structure", "randomness"):
        assert f"'{withheld}'" not in fields
    for granted in ("x", "y", "training", "epsilon"):
        assert f"'{granted}'" in fields


def test_the_search_finds_what_a_white_round_reveals(backend: SandboxBackend) -> None:
    """The control of the test above: the same search is able to find."""
    white_box = match(
        backend,
        alice=attack(SEARCHES_ITS_JAIL),
        round_=black(threat_model=ThreatModel.white()),
    )
    assert "marks 3" in white_box.logs["attack"]
    assert "'package'" in white_box.logs["attack"]


def test_a_hanging_attack_is_judged_by_what_it_submitted(backend: SandboxBackend) -> None:
    hurried = black(attack_limits=Limits(wall_seconds=4.0))
    verdict = match(backend, alice=attack(SUBMITS_HALF_AND_HANGS), round_=hurried)
    whole = match(backend)
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.ATTACK, FaultCode.WALL_TIME)
    part, full = verdict.kills.broken[0], whole.kills.broken[0]  # type: ignore[union-attr]
    assert 0 < part.sum() < full.sum()
    assert verdict.metrics["clean_accuracy"] == whole.metrics["clean_accuracy"]


def test_no_attack_gets_more_answers_than_its_budget(backend: SandboxBackend) -> None:
    verdict = match(backend, alice=attack(ASKS_TOO_MUCH), round_=black(2))
    assert verdict.status is Status.SCORED, verdict.fault
    assert "refused 3" in verdict.logs["attack"]
    assert "with 0 left" in verdict.logs["attack"]
    assert (verdict.outcome.columns["queries"] == 2).all()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("raise ValueError('oops')", FaultCode.CRASHED),
        ("return challenge.x[:3]", FaultCode.WRONG_SHAPE),
        ("import os; os._exit(3)", FaultCode.CRASHED),
    ],
)
def test_mallorys_faults_are_mallorys_alone(
    backend: SandboxBackend, body: str, code: FaultCode
) -> None:
    source = (
        "from arena.players import EvasionAttack\n"
        "class Player(EvasionAttack):\n"
        "    def attack(self, challenge):\n"
        f"        {body}\n"
    )
    verdict = match(backend, alice=attack(source))
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.ATTACK, code)
    assert verdict.metrics["robust_accuracy"] == verdict.metrics["clean_accuracy"]
    assert verdict.metrics["clean_accuracy"] > 0.85  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("@ self.w", "@ self.w * np.nan"), FaultCode.NOT_FINITE),
        (("@ self.w", "@ self.w[:, :3]"), FaultCode.WRONG_SHAPE),
        (("def load(self):", "def load(self):\n        1 / 0"), FaultCode.LOAD_FAILED),
    ],
)
def test_danas_faults_are_danas_alone(
    backend: SandboxBackend, change: tuple[str, str], code: FaultCode
) -> None:
    verdict = match(backend, dana=defense(DEFENSE.replace(*change)))
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.DEFENSE, code)
    assert verdict.metrics["robust_accuracy"] == 0.0
    assert verdict.metrics["attack_success_rate"] is None


def test_the_runner_writes_a_verdict_and_tells_its_progress(tmp_path: Path) -> None:
    for name, package in (("a.zip", attack()), ("d.zip", defense())):
        (tmp_path / name).write_bytes(package.to_zip())
    order = {
        "round": black().to_json(),
        "attack": str(tmp_path / "a.zip"),
        "defense": str(tmp_path / "d.zip"),
        "seed": 3,
        "secret": "73" * 32,
        "out": str(tmp_path / "out"),
        "trusted": False,
    }
    (tmp_path / "match.json").write_text(json.dumps(order))
    done = subprocess.run(
        [sys.executable, "-m", "arena.runner", str(tmp_path / "match.json")],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"load", "judge"} <= {step["stage"] for step in steps}
    assert all(set(step) == {"stage", "done", "total", "sentence"} for step in steps)
    verdict = Verdict.from_json(json.loads((tmp_path / "out" / "verdict.json").read_text()))
    assert verdict.status is Status.SCORED, verdict.fault
    assert (tmp_path / "out" / "outcome.parquet").is_file()
    assert (tmp_path / "out" / "images.npz").is_file()
