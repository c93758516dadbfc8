"""What a match costs: PGD against the house CNN through the referee, beside a bare loop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arena import house, tasks
from arena.players import TaskInfo
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, RoundSpec
from arena.sandbox import choose
from arena.threat_model import ThreatModel
from arena.verdict import Status
from benchmarks.oracle import bare_model
from benchmarks.timing import Timed, timed

EPSILON = 0.1
STEPS = 40
EXAMPLES = 500


def measure(*, runs: int) -> Iterator[tuple[str, Timed]]:
    """Whole matches, jails and judgement included; and the bare attack loop."""
    task = tasks.load("mnist5k")
    backend = choose(trusted=True)
    defense = house.package("cnn", task.name)
    for attack in ("random-noise", "fgsm", "pgd"):
        round_ = RoundSpec(
            GameName.EVASION,
            task.name,
            ThreatModel.white(),
            epsilons=(EPSILON,),
            examples=EXAMPLES,
        )
        match = MatchSpec(round_, house.package(attack, task.name), defense, 1, bytes(32))

        def play(match: MatchSpec = match) -> None:
            verdict = play_match(match, backend=backend, task=task)
            if verdict.status is not Status.SCORED:
                raise RuntimeError(f"The match ended {verdict.status}: {verdict.fault}")

        yield f"match: {attack}, {EXAMPLES} examples", timed(play, runs=runs, warm_up=0)
    model = bare_model(defense, TaskInfo(task.name, task.shape, task.classes))
    x, y = task.practice.x[:EXAMPLES], task.practice.y[:EXAMPLES]

    def loop() -> None:
        moved = x.copy()
        for _ in range(STEPS):
            _, slope = model.gradient(moved, y)
            moved = np.clip(moved + EPSILON / 10 * np.sign(slope), x - EPSILON, x + EPSILON)
            moved = np.clip(moved, 0, 1).astype(np.float32)

    yield f"bare loop: {STEPS} steps, {EXAMPLES} examples", timed(loop, runs=runs)
