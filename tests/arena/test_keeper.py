"""The keeper and its jailed referee: the same verdicts, and nobody to blame but us when it dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arena import house, runner
from arena.errors import RefereeError
from arena.keeper import REFEREE, Keeper, Kept
from arena.packages import Package
from arena.rounds import GameName, Limits, RoundSpec
from arena.runner import OUR_FAULT
from arena.sandbox import choose, processors
from arena.sandbox.attack_seat import MANY
from arena.sandbox.bubblewrap import Kind
from arena.sandbox.limits import forked_lockdown
from arena.sandbox.zygote import LostOuter, Outer, ZygoteBackend
from arena.threat_model import OracleOutput, OutputKind, ThreatModel
from submissions import processes

pytestmark = pytest.mark.jail

TASK = "digits"
PATIENCE = 60.0
SLEEPS = """
import time
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        time.sleep(60)
"""


@pytest.fixture(scope="module")
def keeper() -> Keeper:
    backend = choose(trusted=False)
    if not isinstance(backend, ZygoteBackend):
        pytest.skip("needs namespaces inside of bubblewrap's")
    return Keeper.of(backend)


def order(directory: Path, **changes: Any) -> dict[str, Any]:
    """An order to play a match of the house, and the file that it names."""
    round_ = RoundSpec(GameName.EVASION, TASK, ThreatModel.white(), epsilons=(0.1,), examples=40)
    match = {
        "round": round_.to_json(),
        "attack": "house:fgsm",
        "defense": "house:logistic-regression",
        "seed": 4,
        "secret": "00ff" * 8,
        "out": str(directory / "out"),
        **changes,
    }
    path = directory / "match.json"
    path.write_text(json.dumps(match))
    return {"program": "match", "arguments": [str(path)]}


def finding(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "out" / "verdict.json").read_text())
    return found


def sleeper(directory: Path) -> str:
    """Alice's attack that thinks for a minute."""
    manifest = b'schema_version = 1\nname = "A"\nrole = "attack"\ntask = "digits"\n'
    manifest += b'entry = "player.py:Player"\n'
    path = directory / "sleeper.zip"
    path.write_bytes(Package.of({"manifest.toml": manifest, "player.py": SLEEPS.encode()}).to_zip())
    return str(path)


def test_a_jailed_referee_finds_what_one_without_a_jail_finds(
    keeper: Keeper, tmp_path: Path
) -> None:
    jailed, plain = tmp_path / "jailed", tmp_path / "plain"
    steps: list[Any] = []
    for directory in (jailed, plain):
        directory.mkdir()
    status = keeper.play(order(jailed), steps.append)
    runner.main(order(plain)["arguments"], backend=keeper.players, progress=lambda step: None)

    one, other = finding(jailed), finding(plain)
    assert status == 0
    assert one["status"] == "scored"
    for key in ("metrics", "curve", "kills"):
        assert one[key] == other[key]
    assert one["provenance"]["versions"] == other["provenance"]["versions"]
    assert (jailed / "out" / "outcome.parquet").is_file()
    assert {step["stage"] for step in steps} >= {"load", "judge"}


def test_what_an_attack_crafted_for_one_defense_is_judged_on_another(
    keeper: Keeper, tmp_path: Path
) -> None:
    """And the verdict is the one that the attack would get if it crafted anew: the house has no
    models like either, and shows the same for both."""
    round_ = RoundSpec(
        GameName.TRANSFER, TASK, ThreatModel.transfer(), epsilons=(0.1, 0.2), examples=40
    )
    blind = {"round": round_.to_json(), "attack": "house:ensemble-transfer"}
    first, kept, anew = (tmp_path / name for name in ("first", "kept", "anew"))
    for directory in (first, kept, anew):
        directory.mkdir()
    crafting = order(first, **blind, defense="house:logit-squeezing", seed=1)
    assert keeper.play({**crafting, "program": "crafting"}, lambda step: None) == 0
    crafted = first / "out" / "crafted.npz"
    assert [file.name for file in crafted.parent.iterdir()] == ["crafted.npz"]

    other = {**blind, "defense": "house:label-smoothing"}
    steps: list[Any] = []
    keeper.play(order(kept, **other, crafted=str(crafted)), steps.append)
    keeper.play(order(anew, **other), lambda step: None)
    assert finding(kept)["status"] == "scored"
    for key in ("metrics", "curve", "kills", "flags", "logs"):
        assert finding(kept)[key] == finding(anew)[key]
    assert {step["stage"] for step in steps} == {"judge"}  # nobody loaded the attack


def test_what_a_defense_answers_to_noise_is_asked_once_for_all_attacks(
    keeper: Keeper, tmp_path: Path
) -> None:
    """And the verdict is the one that a match finds which asks for itself."""
    round_ = RoundSpec(GameName.TRANSFER, TASK, ThreatModel.transfer(), epsilons=(0.2,))
    given = {"round": replace(round_, examples=40).to_json(), "defense": "house:label-smoothing"}
    first, kept, anew = (tmp_path / name for name in ("first", "kept", "anew"))
    for directory in (first, kept, anew):
        directory.mkdir()
    asking = order(first, **given, attack=sleeper(first), seed=1)  # it would not come to an end
    assert keeper.play({**asking, "program": "controls"}, lambda step: None) == 0
    controls = first / "out" / "controls.npz"
    assert [file.name for file in controls.parent.iterdir()] == ["controls.npz"]

    match = {**given, "attack": "house:ensemble-transfer"}
    keeper.play(order(kept, **match, controls=str(controls)), lambda step: None)
    keeper.play(order(anew, **match), lambda step: None)
    assert finding(kept)["status"] == "scored"
    for key in ("metrics", "curve", "kills", "flags", "logs"):
        assert finding(kept)[key] == finding(anew)[key]


WHERE = """
import os
import numpy as np
from arena.players import Defense, EvasionAttack

def tell():
    print("on", *sorted(os.sched_getaffinity(0)), flush=True)

class Alice(EvasionAttack):
    def attack(self, challenge):
        tell()
        for _ in range({asked}):
            challenge.defense.ask(challenge.x[:1], np.array([0]))
        tell()
        return challenge.x

class Dana(Defense):
    def predict(self, x):
        tell()
        return np.eye(10, dtype=np.float32)[np.zeros(len(x), int)]
"""


def teller(directory: Path, role: str, name: str) -> str:
    """A player that says on which processors it may run."""
    manifest = f'schema_version = 1\nname = "{name}"\nrole = "{role}"\ntask = "{TASK}"\n'
    manifest += f'entry = "player.py:{name}"\n'
    source = WHERE.format(asked=MANY)
    files = {"manifest.toml": manifest.encode(), "player.py": source.encode()}
    path = directory / f"{name}.zip"
    path.write_bytes(Package.of(files).to_zip())
    return str(path)


@pytest.mark.parametrize(
    ("output", "threads", "placed"),
    [
        (OutputKind.PROBABILITIES, 1, True),
        (OutputKind.LABEL, 1, False),  # a cache could tell more than a label
        (OutputKind.PROBABILITIES, 2, False),
    ],
)
def test_players_that_speak_in_turn_share_a_processor_and_judges_do_not(
    keeper: Keeper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: OutputKind,
    threads: int,
    placed: bool,
) -> None:
    usable = os.sched_getaffinity(0)
    if len(usable) < 2:
        pytest.skip("needs two processors")
    chosen = max(usable)
    claimed = processors.ClaimedProcessor(chosen, socket.socket())
    monkeypatch.setattr(processors, "claim", lambda: claimed)
    model = replace(ThreatModel.black(50), output=OracleOutput(output))
    limits = Limits(threads=threads)
    round_ = RoundSpec(
        GameName.EVASION, TASK, model, epsilons=(0.1,), examples=4, attack_limits=limits
    )
    alice, dana = teller(tmp_path, "attack", "Alice"), teller(tmp_path, "defense", "Dana")
    asked = order(tmp_path, round=round_.to_json(), attack=alice, defense=dana)
    keeper.play(asked, lambda step: None)
    claimed.release()
    logs = finding(tmp_path)["logs"]

    everywhere, there = "on " + " ".join(map(str, sorted(usable))), f"on {chosen}"
    gathered = there if placed else everywhere  # from the last question on
    assert logs["attack"].splitlines() == [everywhere, gathered]
    said = logs["defense"].splitlines()
    assert said[:MANY] == [everywhere] * (MANY - 1) + [gathered]  # the one that is asked
    assert len(said) > MANY
    assert set(said[MANY:]) == {everywhere}


def test_a_package_that_nobody_has_seen_is_checked_outside_of_any_zygote(
    keeper: Keeper, tmp_path: Path
) -> None:
    package = tmp_path / "package.zip"
    package.write_bytes(house.package("logistic-regression", TASK).to_zip())
    out = tmp_path / "out"
    asked = {
        "program": "qualification",
        "arguments": [str(package), "--task", TASK, "--out", str(out)],
        "fresh": True,
    }

    assert keeper.play(asked, lambda step: None) == 0
    assert json.loads((out / "qualification.json").read_text())["accepted"]
    assert (out / "log.txt").is_file()


def test_an_order_that_cannot_be_read_is_our_fault_and_is_told(keeper: Keeper) -> None:
    with pytest.raises(RefereeError, match="cannot be read"):
        keeper.play({"program": "match", "arguments": ["/no/such/file"]}, lambda step: None)

    ended = Kept().ended("no json")
    assert ended["ended"] == OUR_FAULT
    assert ended["sentence"]


LOOKS_AROUND = """
import json, os, socket
from arena.sandbox.guest_lockdown import lock_down
lock_down()
found = {}
paths = ("/etc/passwd", "/proc/self/environ", "/proc/1/environ", "/var", "/root", "/home", "/sys")
found["paths"] = [path for path in paths if os.path.exists(path)]
found["variables"] = sorted(os.environ)
found["modules"] = []
for name in ("torch", "django", "celery", "redis", "psycopg", "config", "submissions"):
    try:
        __import__(name)
        found["modules"].append(name)
    except ImportError:
        pass
found["calls"] = []
attempts = {"fork": os.fork, "socket": socket.socket}
attempts["exec"] = lambda: os.execv("/python/bin/python3", ["x"])
for name, call in attempts.items():
    try:
        call()
        found["calls"].append(name)
    except OSError:
        pass
found["writable"] = []
for folder in ("/", "/sub", "/engine", "/engine/arena", "/site", "/data"):
    try:
        open(folder + "/x", "w").close()
        found["writable"].append(folder)
    except OSError:
        pass
found["processes"] = os.getpid()
import arena.tasks
found["digits"] = len(arena.tasks.load("digits").practice)
print(json.dumps(found))
"""


@pytest.mark.usefixtures("keeper")
def test_the_referee_sees_no_site_no_credentials_no_process_and_no_network() -> None:
    outer = Outer(None, Kind.REFEREE, REFEREE)
    lockdown = replace(forked_lockdown(Limits()), receives_descriptors=True)
    jail = outer.start("timeit", Limits(), ("-n1", "-r1", LOOKS_AROUND), lockdown=lockdown)
    until = time.monotonic() + PATIENCE
    while jail.poll().ending == "running" and time.monotonic() < until:
        time.sleep(0.01)
    found = json.loads(jail.log().splitlines()[0])
    jail.close()
    outer.close()

    assert found["paths"] == found["modules"] == found["calls"] == found["writable"] == []
    assert not [name for name in found["variables"] if "SECRET" in name or "DATABASE" in name]
    assert found["processes"] == 1
    assert found["digits"] > 0


# --- what dies ----------------------------------------------------------------------------------


def descendants(pid: int) -> dict[int, str]:
    """pid -> command line of everything below ``pid``."""
    found = {}
    for child in processes.descendants(pid):
        with suppress(OSError):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            found[child] = command.replace(b"\0", b" ").decode()
    return found


def playing(keeper: Keeper, asked: dict[str, Any]) -> tuple[threading.Thread, list[Any]]:
    """A match on its way, and what becomes of it."""
    ended: list[Any] = []

    def play() -> None:
        try:
            ended.append(keeper.play(asked, lambda step: None))
        except RefereeError as error:
            ended.append(error)

    thread = threading.Thread(target=play)
    thread.start()
    return thread, ended


def jails(marks: str) -> list[int]:
    """The forks below outers whose command line holds ``marks``: grandchildren of bubblewrap."""
    found = descendants(os.getpid())
    outers = [pid for pid, command in found.items() if "bwrap" in command and marks in command]
    return [
        fork
        for outer in outers
        for zygote in _children(outer, found)
        for child in _children(zygote, found)
        for fork in _children(child, found)
    ]


def _children(pid: int, found: dict[int, str]) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed if int(child) in found]


def kill_one(marks: str) -> None:
    until = time.monotonic() + PATIENCE
    while not (found := jails(marks)):
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(found[0], signal.SIGKILL)


def test_a_referee_that_is_killed_is_our_fault_and_its_players_die(
    keeper: Keeper, tmp_path: Path
) -> None:
    thread, ended = playing(keeper, order(tmp_path, attack=sleeper(tmp_path)))
    while not jails("guest_warmth numpy"):
        time.sleep(0.01)

    kill_one("arena.jailed")
    thread.join(PATIENCE)

    assert isinstance(ended[0], RefereeError)
    assert jails("guest_warmth") == []


def test_a_player_that_is_killed_from_outside_forfeits_nothing(
    keeper: Keeper, tmp_path: Path
) -> None:
    thread, ended = playing(keeper, order(tmp_path, attack=sleeper(tmp_path)))
    kill_one("guest_warmth numpy")
    thread.join(PATIENCE)

    assert ended == [OUR_FAULT]
    assert finding(tmp_path)["status"] == "void"
    assert "outside" in finding(tmp_path)["fault"]["sentence"]


def test_after_its_zygotes_are_killed_the_next_match_is_played_as_ever(
    keeper: Keeper, tmp_path: Path
) -> None:
    keeper.play(order(tmp_path), lambda step: None)
    for pid, command in descendants(os.getpid()).items():
        if "guest_zygote" in command:
            with suppress(ProcessLookupError):  # one takes the others of its outer along
                os.kill(pid, signal.SIGKILL)

    assert keeper.play(order(tmp_path), lambda step: None) == 0
    assert finding(tmp_path)["status"] == "scored"


@pytest.mark.usefixtures("keeper")
@pytest.mark.parametrize("after", [0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06])
def test_a_bubblewrap_killed_in_its_first_moments_holds_nobody_up_and_leaves_nothing(
    after: float,
) -> None:
    """Its child does not know yet whom to die with, and may sleep for ever with our socket."""
    outer = Outer(None, Kind.ZYGOTE, "arena.sandbox.guest_warmth", "numpy")
    group = outer._jail.process.pid
    time.sleep(after)
    os.kill(group, signal.SIGKILL)
    ended: list[str] = []

    def wait() -> None:
        with suppress(LostOuter):
            outer.ready()
        outer.close()
        ended.append(outer._jail.log())

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(PATIENCE)

    assert ended, "It is waited for still."
    left = time.monotonic() + PATIENCE
    while (alive := _of_group(group)) and time.monotonic() < left:
        time.sleep(0.01)
    assert not alive


def _of_group(group: int) -> list[str]:
    """What still runs of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, own, *_ = stat.read_text().rpartition(")")[2].split()
            found += [stat.parent.name] if int(own) == group and state != "Z" else []
    return found
