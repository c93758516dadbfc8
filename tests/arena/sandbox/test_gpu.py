"""A task may let its players use a GPU: what a jail then sees, and what still binds.

Most of it is tried without one, with harmless device files in the place of NVIDIA's.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arena import tasks
from arena.errors import SandboxUnavailable, Side
from arena.manifest import Framework
from arena.rounds import Limits
from arena.sandbox import choose, gpu, view
from arena.sandbox.backend import Ending, JailSpec
from arena.sandbox.bare import find_backends
from arena.sandbox.bubblewrap import launch
from arena.sandbox.gvisor import GvisorBackend
from arena.sandbox.running import KillableJail
from arena.sandbox.zygote import ZygoteBackend
from arena.tasks import Device
from arena.verdict import Status
from tests.arena.sandbox.test_walls import PREAMBLE, SMALL, Outcome, ended, with_module
from tests.arena.test_matches_in_jails import ATTACK, DEFENSE, attack, black, defense


def made(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_the_files_that_cuda_needs_are_shown_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        "nvidia0",
        "nvidia1",
        "nvidia-caps",
        "nvidia-modeset",
        "nvidia-uvm",
        "nvidiactl",
        "sda",
    )
    monkeypatch.setattr(gpu, "DEVICES", made(tmp_path, *names))

    found = {path.name for path in gpu.nodes()}

    assert found == {"nvidia0", "nvidia1", "nvidia-uvm", "nvidiactl"}


@pytest.mark.parametrize("names", [(), ("nvidiactl", "nvidia-uvm"), ("nvidia0", "nvidiactl")])
def test_a_machine_with_half_a_driver_has_no_gpu_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(gpu, "DEVICES", made(tmp_path, *names))

    assert gpu.nodes() == ()
    with pytest.raises(SandboxUnavailable, match=r"machine with an NVIDIA GPU.*`device` out of"):
        gpu.required()


def test_walls_that_show_no_gpu_refuse_a_task_that_asks_for_one() -> None:
    spec = JailSpec(Side.DEFENSE, Framework.TORCH, Limits(), device=Device.CUDA)

    for backend in (GvisorBackend(), *find_backends()):
        with pytest.raises(SandboxUnavailable, match=r"no player sees a GPU.*behind bubblewrap"):
            backend.start(spec)


@pytest.mark.jail
@pytest.mark.slow
def test_without_a_gpu_the_match_is_void_and_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arena.referee import MatchSpec, play_match

    monkeypatch.setattr(gpu, "DEVICES", made(tmp_path))
    on_gpu = replace(tasks.load("digits"), device=Device.CUDA)
    match = MatchSpec(black(), attack(ATTACK), defense(DEFENSE), seed=3, secret=b"s" * 32)
    verdict = play_match(match, backend=choose(trusted=False), task=on_gpu)

    assert verdict.status is Status.VOID
    assert verdict.fault is not None
    assert "this machine shows none" in verdict.fault.sentence


# --- with harmless device files -----------------------------------------------------------------


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "nodes", lambda: (Path("/dev/zero"), Path("/dev/full")))


def mallory(source: str, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    lib = with_module(view.arena_lib(), "mallory", PREAMBLE + textwrap.dedent(source))
    with monkeypatch.context() as patch:
        patch.setattr(view, "arena_lib", lambda: lib)
        jail: KillableJail = launch(None, SMALL, "mallory", device=Device.CUDA)
    try:
        return ended(jail)
    finally:
        jail.close()


@pytest.mark.jail
@pytest.mark.usefixtures("harmless")
def test_a_driver_may_be_spoken_to_and_a_terminal_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = mallory(
        """
        import errno, fcntl
        for name, device, command in (
            ("driver", "/dev/zero", 0xC020462A),
            ("typing", "/dev/zero", 0x5412),
            ("socket", None, None),
        ):
            try:
                if device is None:
                    import socket
                    socket.socket()
                else:
                    with open(device, "rb+", buffering=0) as file:
                        fcntl.ioctl(file, command, bytes(8))
                print(name, "passed")
            except OSError as error:
                print(name, errno.errorcode[error.errno])
        """,
        monkeypatch,
    )
    assert outcome.log == "driver ENOTTY\ntyping EPERM\nsocket EPERM\n"


@pytest.mark.jail
@pytest.mark.usefixtures("harmless")
def test_addresses_are_free_and_memory_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA reserves addresses without writing to them; what a player writes to is counted."""
    outcome = mallory(
        """
        import mmap
        reserved = mmap.mmap(-1, 2**42, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=0)
        held = []
        try:
            while True:
                held.append(bytearray(2**20))
        except MemoryError:
            count = len(held)
            held.clear()
            print("reserved", len(reserved) == 2**42, count)
        """,
        monkeypatch,
    )
    word, reserved, count = outcome.log.split() if outcome.log else ("", "", "0")
    killed = outcome.report.ending is Ending.OUT_OF_MEMORY
    assert killed or (word, reserved) == ("reserved", "True")
    assert killed or SMALL.memory_mib // 2 < int(count) <= SMALL.memory_mib


@pytest.mark.jail
@pytest.mark.usefixtures("harmless")
def test_processes_beside_its_own_are_not_in_its_procfs(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = mallory(
        "print(sorted(int(n) for n in os.listdir('/proc') if n.isdigit()))", monkeypatch
    )
    assert outcome.log == "[1, 2]\n"


# --- with a GPU -----------------------------------------------------------------------------------

MODEL = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.ReLU(),
                               torch.nn.Linear(32, 10))
"""
HOARDS = """
import torch
from arena.torch_players import TorchDefense

class Player(TorchDefense):
    def predict(self, x, seeds=None):
        held = []
        try:
            while True: held.append(torch.empty(2**20, device=self.task.device))
        except torch.OutOfMemoryError:
            print("held MiB", 4 * len(held), flush=True)
        held.clear()
        return super().predict(x, seeds)
"""


@pytest.mark.jail
@pytest.mark.slow
def test_a_torch_defense_computes_on_the_gpu_within_its_memory() -> None:
    if not gpu.nodes():
        pytest.skip("no GPU on this machine")
    from arena.packages import Package
    from arena.sandbox.seats import JailSeats

    manifest = (
        'schema_version = 1\nname = "d"\nrole = "defense"\ntask = "digits"\nframework = "torch"\n'
        'entry = "player.py:Player"\narchitecture = "architecture.py"\n'
    )
    files = {"manifest.toml": manifest, "architecture.py": MODEL, "player.py": HOARDS}
    package = Package.of({name: text.encode() for name, text in files.items()})
    x = tasks.load("digits").practice.x[:16]
    limits = Limits(memory_mib=1024, query_seconds=120.0)
    scores = {}
    for device in Device:
        task = replace(tasks.load("digits"), device=device)
        round_ = black(defense_limits=limits)
        plain = (
            package
            if device is Device.CUDA
            else Package.of(
                {name: text for name, text in package.files.items() if name != "player.py"}
                | {"manifest.toml": manifest.replace('entry = "player.py:Player"\n', "").encode()}
            )
        )
        backend = ZygoteBackend()
        seats = JailSeats(round_, attack(), plain, task, backend)
        with seats.open_defense() as seat:
            scores[device] = seat.predict(x, np.zeros(len(x), np.uint64))
            log = seat.close()
        backend.close()
    assert 512 < int(log.split("held MiB ")[1].split()[0]) <= 1024
    np.testing.assert_allclose(scores[Device.CUDA], scores[Device.CPU], atol=1e-4)
