"""What a whole board costs beside its bare attack loops: ``python -m benchmarks.board``.

Every attack meets every defense in up to three rounds (white box, scores alone, transfer), as a
worker has them played: a keeper, a jailed referee, forked players, findings on disk. Beside each
match runs the same attack loop in this process, with nothing around it but the answers that any
evaluation needs: each defense on the clean examples, once, and on the candidates of each attack.
A transfer is crafted once for each related model. Rows through nets are counted on both sides: in
jails the nets print them, which is on the arena's account.

Both sides allocate alike: this process starts itself anew with the allocator's settings of jails,
since a loop that hands its memory back to the kernel after each step is a tenth slower. What is
dear once is a row of its own and not in the whole: zygotes, which import torch, and a first match;
the nets of the bare side, whose torch is there already. On a machine that others use too, seconds
of processor say more than seconds.

``--at-once N`` gives both sides N processors: the arena plays N matches side by side, as a worker
with N slots does, and the bare loops run one after the other with torch on N threads, round after
round instead of cell beside cell.

Defenses are the house's plain and adversarially trained CNN, or a net of usual size (``--nets
wide``), weights jittered by a seed; attacks are ``benchmarks/board_player.py`` with more or fewer
steps.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any, Self

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from arena import house, tasks
from arena.games.blind import shared_facts
from arena.games.control import has_controls
from arena.games.controls import FILE as CONTROLS
from arena.games.crafted import FILE as CRAFTED
from arena.games.judgement import schedule
from arena.keeper import Keeper
from arena.packages import Package
from arena.players import TaskInfo
from arena.referee import MatchSpec, judged_examples
from arena.rounds import GameName, Limits, RoundSpec
from arena.sandbox import choose
from arena.sandbox.backend import SandboxBackend
from arena.sandbox.view import environment
from arena.sandbox.zygote import ZygoteBackend
from arena.threat_model import OracleOutput, OutputKind, ThreatModel
from benchmarks.attacks import trained, wide_net
from benchmarks.board_player import BATCH, climb, search, slope_of
from benchmarks.oracle import bare_model

TASK = "mnist5k"
EPSILON = 0.1
HOUSE, WIDE = "house", "wide"
NETS = ("cnn", "adversarial-training")
JITTER = 0.02
"""Of a weight, as a share of its tensor's standard deviation."""
SECRET = "00" * 32
SETTLING_SECONDS = 0.5
ALLOCATOR = {
    name: value
    for name, value in environment(1).items()
    if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))
}
"""As in jails. glibc reads it when a process begins."""
START = "start"
COUNTS = ("forward", "backward", "broken")

ARCHITECTURE = """
from torch import nn

class Told(nn.Sequential):
    def forward(self, x):
        print("rows", len(x), int(x.requires_grad))
        return super().forward(x)

def build():
    return Told(*{builder}())
"""
ATTACK = """
schema_version = 1
name = "Board {number}"
role = "attack"
framework = "torch"
tasks = "*"
entry = "player.py:Player"
"""

Images = NDArray[np.float32]


@dataclass
class Cost:
    """Wall and processor seconds, rows forward and backward, how many examples were broken."""

    seconds: float = 0.0
    processor: float = 0.0
    forward: int = 0
    backward: int = 0
    broken: int = 0

    def __add__(self, other: Self) -> Self:
        return replace(
            self,
            seconds=self.seconds + other.seconds,
            processor=self.processor + other.processor,
            forward=self.forward + other.forward,
            backward=self.backward + other.backward,
            broken=self.broken + other.broken,
        )


def rounds(examples: int, queries: int) -> dict[str, RoundSpec]:
    """Logs are long: each forward pass is a line of them."""
    black = replace(
        ThreatModel.black(queries), output=OracleOutput(OutputKind.PROBABILITIES)
    )  # labels alone wait for whole milliseconds
    models = {"white": ThreatModel.white(), "scores": black, "transfer": ThreatModel.transfer()}
    limits = Limits(log_kib=16 * 1024)
    return {
        name: RoundSpec(
            GameName.TRANSFER if name == "transfer" else GameName.EVASION,
            TASK,
            model,
            epsilons=(EPSILON,),
            examples=examples,
            attack_limits=limits,
            defense_limits=limits,
        )
        for name, model in models.items()
    }


# --- who plays ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Net:
    """``builder``: source of a function ``build``; ``weights``: a state."""

    name: str
    family: str
    builder: str
    weights: dict[str, torch.Tensor]

    @classmethod
    def of_house(cls, name: str) -> Self:
        source = house.package(name, TASK)
        manifest = source.manifest
        weights = safetensors.torch.load(source.files[manifest.weights])
        builder = source.files[manifest.architecture].decode()
        return cls(name, str(manifest.family), builder, weights)

    @classmethod
    def wide(cls) -> Self:
        """That of ``benchmarks.attacks``, trained here for an epoch."""
        source = inspect.getsource(wide_net).replace("def wide_net(", "def build(")
        weights = trained(wide_net(), tasks.load(TASK)).state_dict()
        family = str(house.package(NETS[0], TASK).manifest.family)
        return cls("wide net", family, f"import torch\nfrom torch import nn\n\n{source}", weights)

    def jittered(self, *, seed: int) -> Package:
        noise = torch.Generator().manual_seed(seed)
        weights = {
            name: tensor + JITTER * tensor.std() * torch.randn(tensor.shape, generator=noise)
            for name, tensor in self.weights.items()
        }
        text = (
            f'schema_version = 1\nname = "{self.name} {seed}"\nrole = "defense"\n'
            f'framework = "torch"\narchitecture = "architecture.py"\n'
            f'weights = "weights.safetensors"\ntasks = "*"\nfamily = "{self.family}"\n'
            f"differentiable = true\n"
        )
        builder = self.builder.replace("def build(", "def _plain(")
        return Package.of(
            {
                "manifest.toml": text.encode(),
                "architecture.py": (builder + ARCHITECTURE.format(builder="_plain")).encode(),
                "weights.safetensors": safetensors.torch.save(weights),
            }
        )


def defenses(count: int, *, nets: str) -> list[Package]:
    """Nets whose weights are moved a little: as many different ones as are wanted."""
    plain = [Net.wide()] if nets == WIDE else [Net.of_house(name) for name in NETS]
    return [plain[n % len(plain)].jittered(seed=n) for n in range(count)]


def works(count: int, *, steps: int, queries: int, loads: bool) -> list[dict[str, int]]:
    """The work of each attack: from half of the steps to one and a half.

    ``loads``: in the white box it runs the package that it is shown, and asks for no gradients.
    """
    shares = np.linspace(0.5, 1.5, count) if count > 1 else [1.0]
    return [
        {
            "steps": round(steps * share),
            "transfer_steps": round(steps * share),
            "queries": round(queries * min(1.0, share)),
            "loads": loads,
        }
        for share in shares
    ]


def attack(number: int, work: dict[str, int]) -> Package:
    needs = '[needs]\ngames = ["evasion", "transfer"]\n'
    files = {
        "manifest.toml": (ATTACK.format(number=number) + needs).encode(),
        "player.py": Path(__file__).with_name("board_player.py").read_bytes(),
        "work.json": json.dumps(work).encode(),
    }
    return Package.of(files)


# --- through the arena --------------------------------------------------------------------------


@dataclass
class Kept:
    """Craftings and controls, each made once for many matches, as the site keeps them."""

    made: dict[str, Path] = field(default_factory=dict)
    _making: dict[str, Lock] = field(default_factory=dict)

    def making(self, name: str) -> Lock:
        """Held while it is made: who needs it too waits for it."""
        return self._making.setdefault(name, Lock())


@dataclass
class Arena:
    """A slot of a worker: its keeper, and where its orders and findings lie."""

    keeper: Keeper
    directory: Path
    kept: Kept
    archives: dict[str, str] = field(default_factory=dict)
    orders: int = 0

    def match(self, round_: RoundSpec, attacker: Package, defense: Package) -> Cost:
        """Play it: rows and broken examples; time is for the caller to take."""
        order = {
            "round": round_.to_json(),
            "attack": self._archive(attacker),
            "defense": self._archive(defense),
            "seed": 1,
            "secret": SECRET,
        }
        related = house.related_names(defense.manifest.family, TASK)
        facts = shared_facts(round_, defense.manifest, related=related)
        crafts = asks = False
        if facts is not None:
            crafts = self._add(order, "crafted", "crafting", CRAFTED, [attacker.sha256, *facts])
        if has_controls(round_, defense.manifest):
            asks = self._add(order, "controls", "controls", CONTROLS, [defense.sha256])
        out = self._ordered("match", order)
        verdict = json.loads((out / "verdict.json").read_text())
        if verdict["status"] != "scored":
            raise RuntimeError(f"The match ended {verdict['status']}: {verdict['fault']}")
        cost = rows_told(verdict["logs"]["defense"])
        rows = len(round_.epsilons) * round_.examples
        if facts is None or crafts:  # a kept crafting comes with the log of its making
            cost += rows_told(verdict["logs"]["attack"])
        if crafts:  # the referee asks the related model what it says to what was crafted
            cost.forward += rows
        if asks:  # of controls no verdict has the log
            cost.forward += sum(len(of) for _, of in schedule(rows, np.random.RandomState(0)))
        broken = int(verdict["kills"]["broken"][-1] or "0", 16).bit_count()
        return replace(cost, broken=broken)

    def _add(self, order: dict[str, Any], key: str, program: str, file: str, of: list[Any]) -> bool:
        """Hand the match what is kept for it; whether it had to be made."""
        name = json.dumps([key, order["round"], of])
        with self.kept.making(name):
            anew = name not in self.kept.made
            if anew:
                self.kept.made[name] = self._ordered(program, order) / file
        order[key] = str(self.kept.made[name])
        return anew

    def _ordered(self, program: str, order: dict[str, Any]) -> Path:
        """Have it carried out; where its finding lies."""
        self.orders += 1
        out, file = self.directory / f"found-{self.orders}", self.directory / "orders.json"
        file.write_text(json.dumps({**order, "out": str(out)}))
        self.keeper.play({"program": program, "arguments": [str(file)]}, lambda step: None)
        return out

    def _archive(self, package: Package) -> str:
        if package.sha256 not in self.archives:
            path = self.directory / f"{package.sha256}.zip"
            path.write_bytes(package.to_zip())
            self.archives[package.sha256] = str(path)
        return self.archives[package.sha256]


def rows_told(log: str) -> Cost:
    """What the nets of one side have printed."""
    told = re.findall(r"^rows (\d+) ([01])$", log, re.MULTILINE)
    rows, sloped = (np.array([int(pair[i]) for pair in told], np.int64) for i in (0, 1))
    return Cost(forward=int(rows.sum()), backward=int((rows * sloped).sum()))


# --- bare ---------------------------------------------------------------------------------------


class Bare:
    """The same loops in this process."""

    def __init__(self, packages: list[Package], x: Images, y: NDArray[np.int64]) -> None:
        task = tasks.load(TASK)
        info = TaskInfo(task.name, task.shape, task.classes)
        self.nets = [Counting(bare_model(package, info).module) for package in packages]
        self.families = [package.manifest.family for package in packages]
        self.sources = {
            family: Counting(bare_model(house.related(family, TASK)[0], info).module)
            for family in set(self.families)
        }
        self.x, self.y = x, y
        self.right: list[NDArray[np.bool_]] = []
        self.crafted: dict[tuple[int, str | None], Images] = {}

    def clean(self) -> Cost:
        began = _now()
        self.right = [net.labels(self.x) == self.y for net in self.nets]
        return self._cost(began)

    def cell(self, kind: str, number: int, work: dict[str, int], column: int) -> Cost:
        net, began = self.nets[column], _now()
        if kind == "white":
            found = climb(slope_of(net), self.x, self.y, EPSILON, steps=work["steps"])
        elif kind == "scores":
            found = search(net.scores, self.x, self.y, EPSILON, queries=work["queries"])
        else:
            found = self._crafted(number, work, self.families[column])
        broken = self.right[column] & (net.labels(found) != self.y)
        return replace(self._cost(began), broken=int(broken.sum()))

    def _crafted(self, number: int, work: dict[str, int], family: str | None) -> Images:
        """Once for each related model."""
        key = (number, family)
        if key not in self.crafted:
            source, steps = slope_of(self.sources[family]), work["transfer_steps"]
            self.crafted[key] = climb(source, self.x, self.y, EPSILON, steps=steps)
        return self.crafted[key]

    def _cost(self, began: tuple[float, float]) -> Cost:
        cost = _since(began)
        for net in (*self.nets, *self.sources.values()):
            cost.forward += net.forward_rows
            cost.backward += net.sloped_rows
            net.forward_rows = net.sloped_rows = 0
        return cost


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(began: tuple[float, float]) -> Cost:
    seconds, processor = (now - then for now, then in zip(_now(), began, strict=True))
    return Cost(seconds, processor)


class Counting(torch.nn.Module):
    """A net that counts its rows."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        layers = list(module.children())
        if not isinstance(module, torch.nn.Sequential) or any(
            list(layer.children()) for layer in layers
        ):
            raise TypeError("The bare side runs a plain sequence of layers; take such a net.")
        self.module = torch.nn.Sequential(*layers).requires_grad_(False)  # one that prints nothing
        self.forward_rows = self.sloped_rows = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forward_rows += len(x)
        self.sloped_rows += len(x) * x.requires_grad
        scores: torch.Tensor = self.module(x)
        return scores

    def scores(self, x: Images, _rows: NDArray[np.int64] | None = None) -> Images:
        with torch.inference_mode():
            parts = [self(torch.tensor(x[at : at + BATCH])) for at in range(0, len(x), BATCH)]
        return torch.cat(parts).softmax(1).numpy()

    def labels(self, x: Images) -> NDArray[np.int64]:
        return np.asarray(self.scores(x).argmax(1))


# --- the processor ---


@dataclass
class JailsClock:
    """Processor seconds of all that this process has started, read after each match.

    Jails are forks of zygotes, which are ours: once reaped, their time stands with the zygote. A
    zygote is replaced after a thousand forks, and what it has had goes with it: so what each child
    of ours and its descendants have had is added up from reading to reading.
    """

    seconds: float = 0.0
    _before: dict[int, int] = field(default_factory=dict)
    _reading: Lock = field(default_factory=Lock)

    def read(self) -> float:
        """In all so far."""
        self.note()
        return self.seconds

    def note(self) -> None:
        """Add what has come since the last time."""
        with self._reading:
            now = _ticks_of_children()
            more = sum(max(0, ticks - self._before.get(pid, 0)) for pid, ticks in now.items())
            self._before = now
            self.seconds += more / os.sysconf("SC_CLK_TCK")


def _ticks_of_children() -> dict[int, int]:
    """Of each child of this process: its own ticks and those of all below it."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, rest = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
            parents[pid], ticks[pid] = int(rest[1]), sum(map(int, rest[11:15]))
    found = {pid: 0 for pid, parent in parents.items() if parent == os.getpid()}
    for pid, spent in ticks.items():
        above = pid
        while above not in found and above in parents:
            above = parents[above]
        if above in found:
            found[above] += spent
    return found


# --- the board ----------------------------------------------------------------------------------


Cell = tuple[RoundSpec, Package, Package]


def played(slots: Sequence[Arena], cells: Sequence[Cell], clock: JailsClock) -> Cost:
    """Each slot takes the next match as soon as it is free."""
    free: SimpleQueue[Arena] = SimpleQueue()
    for slot in slots:
        free.put(slot)

    def play(cell: Cell) -> Cost:
        slot = free.get()
        try:
            return slot.match(*cell)
        finally:
            clock.note()
            free.put(slot)

    began = _now()
    with ThreadPoolExecutor(len(slots)) as pool:
        counted = sum(pool.map(play, cells), Cost())
    return counted + _since(began)


def board(slots: Sequence[Arena], options: argparse.Namespace) -> Iterator[tuple[str, Cost, Cost]]:
    """(round, through the arena, bare): cell beside cell, so that both meet the same load, or,
    of several at once, round beside round."""
    task = tasks.load(TASK)
    ours = works(
        options.attacks, steps=options.steps, queries=options.queries, loads=options.loaded
    )
    attacks = [attack(number, work) for number, work in enumerate(ours)]
    columns = defenses(options.defenses, nets=options.nets)
    specs = rounds(options.examples, options.queries)
    match = MatchSpec(specs["white"], attacks[0], columns[0], 1, bytes.fromhex(SECRET))
    examples = judged_examples(match, task)
    began, clock = _now(), JailsClock()
    bare = Bare(columns, examples.x, examples.y)
    torch.set_num_threads(len(slots))  # loading a model sets one
    alone = _since(began)
    first = (specs["white"], attacks[0], columns[0])  # played again on the board
    through = Cost()
    for slot in slots:
        through += played([slot], [first], clock)
    time.sleep(SETTLING_SECONDS)
    through.processor += clock.read()
    yield START, through, alone
    yield "clean", Cost(), bare.clean()
    board = [(row, column) for column in range(len(columns)) for row in range(len(attacks))]
    groups = [board] if len(slots) > 1 else [[cell] for cell in board]
    for kind in list(specs)[: options.rounds]:
        through, alone, jails = Cost(), Cost(), clock.read()
        for group in groups:
            cells = [(specs[kind], attacks[row], columns[column]) for row, column in group]
            through += played(slots, cells, clock)
            for row, column in group:
                alone += bare.cell(kind, row, ours[row], column)
        time.sleep(SETTLING_SECONDS)  # until the last jails are reaped, and count
        through.processor += clock.read() - jails
        yield kind, through, alone


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.board", description=__doc__)
    parser.add_argument("--defenses", type=int, default=4)
    parser.add_argument("--attacks", type=int, default=4)
    parser.add_argument(
        "--nets", default=HOUSE, choices=(HOUSE, WIDE), help="wide: a row takes ten times as long"
    )
    parser.add_argument("--rounds", type=int, default=3, choices=(1, 2, 3))
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--steps", type=int, default=100, help="of PGD and transfer, on average")
    parser.add_argument("--queries", type=int, default=500, help="an example, at most")
    parser.add_argument(
        "--loaded", action="store_true", help="white box: run the package, ask for no gradients"
    )
    parser.add_argument(
        "--at-once", type=int, default=1, help="matches side by side, and threads of the bare side"
    )
    options = parser.parse_args()
    if not ALLOCATOR.items() <= os.environ.items():
        again = [sys.executable, "-m", "benchmarks.board", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | ALLOCATOR)
    console = Console(width=120)
    backends = [choose(trusted=True) for _ in range(options.at_once)]
    backend = backends[0]
    if not isinstance(backend, ZygoteBackend):
        console.print(f"No zygote can be had here: players stand behind {backend.name}.")
        raise SystemExit(1)
    console.print(f"{os.cpu_count()} cores, {_processor()}; {vars(options)}")
    console.print(f"Load before: {_load()}")
    table = Table(title="A board through the arena and its bare loops (rows in thousands)")
    pairs = [(name, "bare" + " " * n) for n, name in enumerate(("s", "cpu s", *COUNTS))]
    heads = [
        *pairs[0],
        "ratio",
        *pairs[1],
        "ratio ",
        *(head for pair in pairs[2:] for head in pair),
    ]
    for column in ("round", *heads):
        table.add_column(column, justify="left" if column == "round" else "right")
    total, alone = Cost(), Cost()
    with tempfile.TemporaryDirectory() as scratch:
        for name, one, other in board(_slots(backends, Path(scratch)), options):
            table.add_row(name, *_cells(one, other))
            if name != START:
                total, alone = total + one, alone + other
            told = f"{one.seconds:.1f} s, {one.processor:.1f} cpu s; bare {other.seconds:.1f}"
            console.print(f"{name}: {told}, {other.processor:.1f}; load {_load()}")
    table.add_row("all", *_cells(total, alone))
    console.print(table)
    console.print(f"Load after: {_load()}")
    matches = options.attacks * options.defenses * options.rounds
    more = (total.seconds - alone.seconds, total.processor - alone.processor)
    console.print(
        f"{matches} matches; beyond bare {more[0] / matches:.3f} s and "
        f"{more[1] / matches:.3f} cpu s each"
    )


def _slots(backends: Sequence[SandboxBackend], scratch: Path) -> list[Arena]:
    """One for each backend; what is kept they share."""
    kept, slots = Kept(), []
    for number, backend in enumerate(backends):
        directory = scratch / f"slot-{number}"
        directory.mkdir()
        slots.append(Arena(Keeper.of(backend), directory, kept))
    return slots


def _load() -> str:
    return " ".join(f"{load:.1f}" for load in os.getloadavg())


def _processor() -> str:
    told = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return told[1] if told else "of an unknown kind"


def _cells(one: Cost, other: Cost) -> Iterator[str]:
    for ours, theirs in ((one.seconds, other.seconds), (one.processor, other.processor)):
        yield from (f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}" if ours else "")
    for ours, theirs in ((one.forward, other.forward), (one.backward, other.backward)):
        yield from (f"{ours / 1000:,.1f}", f"{theirs / 1000:,.1f}")
    yield from (str(one.broken), str(other.broken))


if __name__ == "__main__":
    main()
