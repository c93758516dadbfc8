"""Qualification, in the jail: accepted with figures, or rejected with one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from arena import house, tasks
from arena.packages import Package
from arena.qualification import Qualification, main, poisoners, qualify
from arena.runner import OK
from arena.sandbox import choose

pytestmark = pytest.mark.jail
ENTRY = 'entry = "player.py:Player"'

HEADER = """
import os
import time

import numpy as np

from arena.players import Defense, EvasionAttack, Learner, Poison, Poisoner

PROTOTYPES = None


class Nearest(Defense):
    def load(self):
        self.x = np.load(self.package / "train.npz")["x"]
        self.y = np.load(self.package / "train.npz")["y"]

    def predict(self, x):
        d = ((x.reshape(len(x), 1, -1) - self.x[None]) ** 2).sum(-1)
        return np.stack([-d[:, self.y == k].min(1) for k in range(10)], 1).astype(np.float32)
"""


def submission(body: str, *, role: str = "defense", needs: str = "", **flags: Any) -> Package:
    import io

    import numpy as np

    lines = [f"{key} = {json.dumps(value)}" for key, value in flags.items()]
    manifest = "\n".join(
        [
            "schema_version = 1",
            'name = "Guest"',
            f'role = "{role}"',
            'entry = "player.py:Player"',
            *lines,
        ]
    )
    files = {
        "manifest.toml": f"{manifest}\n{needs}".encode(),
        "player.py": (HEADER + body).encode(),
    }
    if role == "defense":
        train = tasks.load("digits").train
        buffer = io.BytesIO()
        np.savez(buffer, x=train.x.reshape(len(train), -1)[:400], y=train.y[:400])
        files["train.npz"] = buffer.getvalue()
    return Package.of(files)


def checked(package: Package, task: str = "digits") -> Qualification:
    return qualify(package, task=tasks.load(task), backend=choose(trusted=False))


def test_an_honest_defense_is_accepted_with_its_clean_accuracy_beside_the_floor() -> None:
    found = checked(submission("\nclass Player(Nearest):\n    pass\n"))
    assert found.accepted, found.sentence
    assert found.figures["clean_accuracy"] > 0.9
    assert found.figures["floor"] == tasks.load("digits").floor
    assert found.figures["seconds_backward_256"] is None  # it declares no gradients
    assert not found.figures["grey_eligible"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("class Player(Nearest):\n    def load(self):\n        raise OSError('no file')", "load"),
        ("class Player(Nearest):\n    def predict(self, x):\n        os._exit(3)", "."),
        (
            (
                "class Player(Nearest):\n    def predict(self, x):\n"
                "        return np.full((len(x), 10), np.nan, np.float32)"
            ),
            "NaN",
        ),
        (
            (
                "class Player(Nearest):\n    def predict(self, x):\n"
                "        return np.zeros((len(x), 3), np.float32)"
            ),
            "shape",
        ),
        (
            (
                "class Player(Nearest):\n    def predict(self, x):\n"
                "        return super().predict(x) + len(x)"
            ),
            "other rows",
        ),
        (
            (
                "class Player(Nearest):\n    def load(self):\n        super().load()\n"
                "        self.mood = os.urandom(1)[0]\n"
                "    def predict(self, x):\n        return super().predict(x) + self.mood"
            ),
            "fresh process",
        ),
        (
            (
                "class Player(Nearest):\n    def predict(self, x):\n"
                "        return super().predict(x) * (1 + os.urandom(1)[0])"
            ),
            "same request",
        ),
    ],
    ids=["load", "exit", "nan", "shape", "rows", "dice", "dice for each request"],
)
def test_a_defense_that_breaks_a_rule_is_rejected_with_a_sentence(body: str, told: str) -> None:
    found = checked(submission(f"\n{body}\n"))
    assert not found.accepted
    assert told in found.sentence


def test_what_a_defense_printed_is_in_the_log() -> None:
    found = checked(submission("\nclass Player(Nearest):\n    print('hello from inside')\n"))
    assert "hello from inside" in found.log


@pytest.mark.parametrize("role", ["defense", "learner"])
def test_what_a_player_raised_while_it_was_loaded_is_in_the_log(role: str) -> None:
    found = checked(submission("\nimport requests\n", role=role), "mnist-1-7")
    assert found.figures["fault"] == "load_failed"
    assert found.log.count("No module named 'requests'") == 1


def test_a_task_that_the_manifest_does_not_name_is_refused() -> None:
    package = submission("\nclass Player(Nearest):\n    pass\n", task="mnist5k")
    found = checked(package)
    assert not found.accepted
    assert "mnist5k" in found.sentence


def test_a_torch_defense_is_eligible_for_grey_rounds_by_its_two_files() -> None:
    found = checked(house.package("logistic-regression", "digits"))
    assert found.accepted, found.sentence
    assert found.figures["grey_eligible"], found.figures["grey_reason"]
    assert found.figures["redrawn_accuracy"] < 0.35


def test_weights_hidden_in_the_architecture_are_found_out() -> None:
    honest = house.package("logistic-regression", "digits")
    import numpy as np
    from safetensors.numpy import load

    weights = load(honest.files["weights.safetensors"])
    listed = {name: np.round(w, 4).tolist() for name, w in weights.items()}
    smuggled = (
        honest.files["architecture.py"].decode()
        + "\n\n_honest = build\n\n\ndef build():\n    import torch\n    module = _honest()\n"
        + f"    held = {json.dumps(listed)}\n"
        + "    module.load_state_dict({k: torch.tensor(v) for k, v in held.items()})\n"
        + "    return module\n"
    )
    found = checked(Package.of({**honest.files, "architecture.py": smuggled.encode()}))
    assert found.accepted, found.sentence
    assert not found.figures["grey_eligible"]
    assert "above chance" in found.figures["grey_reason"]


FGSM = """
class Player(EvasionAttack):
    def attack(self, c):
        slope = c.defense.gradient(c.x, c.y)
        return c.clip(c.x + c.epsilon * np.sign(slope))
"""


def test_an_attack_that_finds_planted_examples_is_reliable() -> None:
    package = submission(FGSM, role="attack", needs='[needs]\ngradients = true\nnorms = ["linf"]\n')
    found = checked(package)
    assert found.accepted, found.sentence
    assert [row["reliable"] for row in found.figures["planted"]] == [True]
    assert found.figures["planted"][0]["success"] == 1.0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return c.clip(c.x + c.epsilon * 1.01)", "20 over budget"),
        ("return c.x - 2", "20 out of range"),
        ("return c.x * np.nan", "20 not finite"),
    ],
    ids=["budget", "range", "nan"],
)
def test_an_attack_whose_candidates_do_not_count_is_told_why(body: str, told: str) -> None:
    player = f"\nclass Player(EvasionAttack):\n    def attack(self, c):\n        {body}\n"
    found = checked(submission(player, role="attack", needs='[needs]\nnorms = ["linf"]\n'))
    assert found.accepted, found.sentence
    assert f"(20 of 20 candidates were rejected: {told})" in found.sentence
    assert found.figures["friendly"][f"rejected_{told[3:].replace(' ', '_')}"] == 20


def _declares_probes(name: str) -> Package:
    """A house player that says it needs probes, and is so held to planted examples."""
    files = dict(house.package(name, "digits").files)
    files["manifest.toml"] = files["manifest.toml"].replace(b"[needs]", b"[needs]\nprobes = true")
    return Package.of(files)


@pytest.mark.parametrize(
    ("name", "norm"), [("spatial-grid", "spatial"), ("worst-corruption", "corruption"),
                       ("patch", "patch")]
)  # fmt: skip
def test_an_attack_beyond_norms_is_held_to_planted_examples_too(name: str, norm: str) -> None:
    found = checked(_declares_probes(name))
    assert found.accepted, found.sentence
    (row,) = found.figures["planted"]
    assert row["norm"] == norm
    assert row["reliable"]


def test_an_attack_that_misses_planted_examples_is_marked_unreliable() -> None:
    lazy = "\nclass Player(EvasionAttack):\n    def attack(self, c):\n        return c.x\n"
    needs = '[needs]\ngradients = true\nnorms = ["linf"]\n'
    found = checked(submission(lazy, role="attack", needs=needs))
    assert found.accepted, found.sentence
    assert "unreliable" in found.sentence


@pytest.mark.parametrize(
    "body",
    ["raise ValueError('broken')", "return c.x[:1]", "os._exit(1)"],
    ids=["raises", "shape", "exits"],
)
def test_an_attack_that_breaks_a_rule_is_rejected(body: str) -> None:
    player = f"\nclass Player(EvasionAttack):\n    def attack(self, c):\n        {body}\n"
    found = checked(submission(player, role="attack"))
    assert not found.accepted
    assert found.figures["fault"]


def test_house_learners_and_poisoners_qualify() -> None:
    learner = checked(house.package("logistic-learner", "mnist-1-7"), "mnist-1-7")
    assert learner.accepted, learner.sentence
    assert learner.figures["clean_accuracy"] > learner.figures["floor"]
    poisoner = checked(house.package("far-outliers", "mnist-1-7"), "mnist-1-7")
    assert poisoner.accepted, poisoner.sentence
    assert poisoner.figures["friendly"]["delta_error"] > 0


def test_a_learner_that_draws_from_the_air_is_rejected() -> None:
    body = """
class Player(Learner):
    def fit(self, x, y, seed):
        self.k = 10 * int.from_bytes(os.urandom(4), "big") / 2**32
    def predict(self, x):
        return np.full((len(x), 10), self.k, np.float32)
"""
    found = checked(submission(body, role="learner"))
    assert not found.accepted
    assert "seed" in found.sentence


def test_the_command_writes_a_finding_and_a_log(tmp_path: Path) -> None:
    archive = tmp_path / "package.zip"
    archive.write_bytes(submission("\nclass Player(Nearest):\n    pass\n").to_zip())
    out = tmp_path / "out"
    assert main([str(archive), "--task", "digits", "--out", str(out)]) == OK
    assert json.loads((out / "qualification.json").read_text())["accepted"]
    assert (out / "log.txt").exists()


def test_a_broken_zip_is_a_finding_not_a_fault_of_ours(tmp_path: Path) -> None:
    archive = tmp_path / "package.zip"
    archive.write_bytes(b"not a zip")
    command = [sys.executable, "-m", "arena.qualification", str(archive)]
    command += ["--task", "digits", "--out", str(tmp_path)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == OK, ended.stderr
    finding = json.loads((tmp_path / "qualification.json").read_text())
    assert not finding["accepted"]
    assert "zip" in finding["sentence"]


def test_what_a_poisoner_of_three_games_did_is_told_as_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    games = ["backdoor", "targeted_poisoning", "online_poisoning"]
    manifest = SimpleNamespace(needs=SimpleNamespace(games=games))
    check: Any = SimpleNamespace(task=SimpleNamespace(is_regression=False), manifest=manifest)
    monkeypatch.setattr(poisoners, "_friendly_of", lambda _, game: game.value)
    told = "Qualified; backdoor, targeted_poisoning and online_poisoning."
    assert poisoners.check_poisoner(check) == told
    manifest.needs.games = []
    assert poisoners.check_poisoner(check) == "Qualified; poisoning."
