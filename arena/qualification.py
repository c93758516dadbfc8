"""Qualification: the automatic check of a new submission, in the jail, by a friendly.

``python -m arena.qualification PACKAGE.zip --task TASK --out DIR`` writes ``qualification.json``
(``accepted``, ``sentence``, ``figures``) and ``log.txt``. Exit status 0 with a finding, 2 for bad
usage, 5 for a fault of ours.

A rejection says in one sentence what to change. Figures that do not decide (clean accuracy below
the floor, grey-box eligibility, reliability on planted examples) are stated, not judged.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena import house, tasks
from arena.answers import Answers, read_scores
from arena.applicability import ROLES, USUAL_ROLES
from arena.errors import ArenaError, FaultCode, NotApplicable, PackageError, PlayerError, Side
from arena.games.base import Progress, Step
from arena.manifest import FILE_NAME, Framework, Manifest, Role
from arena.metrics import share_of
from arena.packages import Package
from arena.planted import plant
from arena.referee import MatchSpec, play_match
from arena.rounds import (
    MOVES,
    USUAL_LEVELS,
    GameName,
    Goal,
    Norm,
    RoundSpec,
    norm_for,
    threat_model_for,
)
from arena.sandbox import choose
from arena.sandbox.backend import SandboxBackend
from arena.sandbox.seats import JailSeats
from arena.seats import DefenseSeat
from arena.tasks import Task
from arena.tasks.fitting import misfit
from arena.threat_model import OracleOutput, OutputKind, Probes, ThreatModel
from arena.verdict import Status, Verdict

OK: Final = 0
USAGE: Final = 2
OUR_FAULT: Final = 5

CLEAN_EXAMPLES: Final = 500
PROBE_ROWS: Final = 32
CLAIMS: Final = 10
FRIENDLY_EXAMPLES: Final = 20
PLANTED_EXAMPLES: Final = 20
PLANTED_PROBES: Final = 2000
FRIENDLY_PROBES: Final = 500
RELIABLE: Final = 0.5
"""Share of planted examples that an attack must break to be called reliable."""
TOLERANCE: Final = 1e-4
COST_FACTOR: Final = 20.0
COST_ALLOWANCE: Final = 2.0
"""Seconds for 256 rows that no machine's noise should turn into a rejection."""
NEAR_CHANCE: Final = 0.15
SECRET: Final = b"qualification: no round's secret"
REFERENCE: Final = "cnn"
HOUSE_DEFENSE: Final = "logistic-regression"
HOUSE_LEARNER: Final = "logistic-learner"
HOUSE_ESTIMATOR: Final = "ols-trend"
HOUSE_LEVELLER: Final = "level-trend"

Array = NDArray[Any]


@dataclass(frozen=True)
class Qualification:
    """What was found. ``figures`` is JSON-able; ``log`` is for the team and organizers."""

    accepted: bool
    sentence: str
    figures: dict[str, Any] = field(default_factory=dict)
    log: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"accepted": self.accepted, "sentence": self.sentence, "figures": self.figures}


class Rejected(ArenaError):
    """The submission cannot be accepted; the message says what to change."""


@dataclass
class _Check:
    """One qualification as it goes."""

    package: Package
    task: Task
    backend: SandboxBackend
    progress: Progress
    figures: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    step: int = 0

    def report(self, sentence: str, total: int = 6) -> None:
        self.progress(Step("qualify", min(self.step, total), total, sentence))
        self.step += 1

    @property
    def manifest(self) -> Manifest:
        return self.package.manifest

    def seat(self, package: Package | None = None) -> DefenseSeat:
        """A fresh jail with this defense (or learner), or another package."""
        defense = package or self.package
        spec = RoundSpec(GameName.EVASION, self.task.name, ThreatModel.white(), epsilons=(0.1,))
        return JailSeats(
            round=spec, attack=defense, defense=defense, task=self.task, backend=self.backend
        ).open_defense()

    def examples(self, count: int) -> tuple[Array, Array]:
        """The first ``count`` practice examples in an order that hangs on the task alone."""
        split = self.task.practice
        rows = np.random.RandomState(7).permutation(len(split))[:count]
        return split.x[rows], split.y[rows]

    def read(self, scores: Array, rows: int) -> Answers:
        return read_scores(
            scores,
            rows=rows,
            classes=len(self.task.classes),
            abstains=self.manifest.abstains,
            output=self.manifest.output,
        )


def qualify(
    package: Package, *, task: Task, backend: SandboxBackend, progress: Progress | None = None
) -> Qualification:
    """Check a package for a task. RefereeError and other exceptions are our fault.

    Never trusts the package with more than a match would: everything runs in the jail.
    """
    check = _Check(package, task, backend, progress or (lambda _step: None))
    try:
        if not package.manifest.plays_task(task.name):
            raise Rejected(
                f"{FILE_NAME} says that this plays {', '.join(package.manifest.tasks)}, "
                f"not {task.name}; name the task there or submit it for another one."
            )
        _fits(check)
        sentence = _CHECKS[package.manifest.role](check)
    except Rejected as error:
        return Qualification(False, str(error), check.figures, _text(check))
    except PlayerError as error:
        check.figures["fault"] = error.code.value
        return Qualification(False, _blamed(error, check), check.figures, _text(check))
    return Qualification(True, sentence, check.figures, _text(check))


def _fits(check: _Check) -> None:
    """Players of trends are tried on values, all others on classes."""
    games, task = check.manifest.needs.games, check.task
    trends = set(games) == {GameName.TREND_POISONING.value}
    if trends and not task.is_regression:
        raise Rejected(
            'A player of trends is tried on a regression task: say task = "ice-cover" in '
            f"{FILE_NAME}, or submit it for one."
        )
    if task.is_regression and not trends:
        raise Rejected(
            f"Task {task.name} has values and no classes: who plays on it says games = "
            '["trend_poisoning"] in [needs], and nothing else.'
        )


def _text(check: _Check) -> str:
    return "\n".join(part.rstrip() for part in check.log if part.strip())


def _blamed(error: PlayerError, check: _Check) -> str:
    own = Side(check.manifest.role.side)
    if error.side is own:
        return str(error)
    return f"The friendly ended by the other side's fault: {error}"


# ── defenses ───────────────────────────────────────────────────────────────────────────────


def _defense(check: _Check) -> str:
    x, y = check.examples(CLEAN_EXAMPLES)
    seeds = np.arange(len(x), dtype=np.uint64)
    check.report("Loading the defense in a jail.")
    seat = check.seat()
    try:
        check.report("Asking it about clean examples.")
        started = seat.seconds
        scores = seat.predict(x, seeds)
        forward = (seat.seconds - started) * 256 / len(x)
        _clean_accuracy(check, scores, y)
        _rows_apart(seat, x, seeds, scores)
        check.report("Asking it for gradients.")
        backward = _gradients(check, seat, x[:PROBE_ROWS], y[:PROBE_ROWS], seeds[:PROBE_ROWS])
        _claims(check, seat, x[:CLAIMS], seeds[:CLAIMS])
    finally:
        check.log.append(seat.close())
    check.report("Comparing its cost with the reference model's.")
    _cost(check, forward, backward)
    check.report("Asking a second, fresh process the same.")
    _deterministic(check, x[:PROBE_ROWS], seeds[:PROBE_ROWS], scores[:PROBE_ROWS])
    check.report("Checking architecture and weights apart.")
    eligible, why = _grey(check, x, y, seeds, scores)
    check.figures |= {"grey_eligible": eligible, "grey_reason": why}
    return _defense_sentence(check)


def _clean_accuracy(check: _Check, scores: Array, y: Array) -> None:
    answers = check.read(scores, len(y))
    right = int((answers.labels == y).sum())
    check.figures |= share_of("clean_accuracy", right, len(y))
    check.figures |= {"floor": check.task.floor, "examples": len(y)}
    if check.manifest.abstains:
        check.figures["abstained"] = float((answers.labels < 0).mean())


def _rows_apart(seat: DefenseSeat, x: Array, seeds: Array, scores: Array) -> None:
    """Row by row, and in another batch, the answers must be the same."""
    alone = np.concatenate([seat.predict(x[i : i + 1], seeds[i : i + 1]) for i in range(8)])
    order = np.arange(PROBE_ROWS)[::-1]
    turned = seat.predict(x[order], seeds[order])
    for again, first in ((alone, scores[:8]), (turned, scores[order])):
        if _differs(again, first):
            raise PlayerError(
                Side.DEFENSE,
                FaultCode.ROWS_DEPEND,
                "Predictions depend on the other rows of a request; treat every row apart.",
            )


def _differs(one: Array, other: Array) -> bool:
    scale = max(1.0, float(np.abs(other).max(initial=0.0)))
    return bool(np.abs(one - other).max(initial=0.0) > TOLERANCE * scale)


def _gradients(check: _Check, seat: DefenseSeat, x: Array, y: Array, seeds: Array) -> float:
    """Seconds for 256 rows; 0 where none are declared."""
    check.figures["differentiable"] = check.manifest.differentiable
    if not check.manifest.differentiable:
        return 0.0
    started = seat.seconds
    _, slope = seat.gradient(x, y, seeds)
    check.figures["zero_gradients"] = float((np.abs(slope).reshape(len(x), -1).max(1) == 0).mean())
    return float(seat.seconds - started) * 256 / len(x)


def _claims(check: _Check, seat: DefenseSeat, x: Array, seeds: Array) -> None:
    """A defense that certifies does so in every norm that it names, in the time of a request."""
    for norm in check.manifest.certifies:
        check.report(f"Asking it for certified radii in {norm}.")
        started = seat.seconds
        labels, radii = seat.certify(x, seeds, norm=norm, effort=1)
        check.figures[f"claims_{norm}"] = {
            "claimed_share": float(((labels >= 0) & (radii > 0)).mean()),
            "median_radius": float(np.median(radii)),
            "seconds_a_claim": float(seat.seconds - started) / len(x),
        }


def _cost(check: _Check, forward: float, backward: float) -> None:
    """Forward and backward cost at most 20 times the task's reference model's."""
    check.figures |= {"seconds_forward_256": forward, "seconds_backward_256": backward}
    if max(forward, backward) <= COST_ALLOWANCE:
        return
    reference = _reference_seconds(check)
    if reference is None:
        return
    for name, seconds in (("forward", forward), ("backward", backward)):
        if seconds > max(COST_ALLOWANCE, COST_FACTOR * reference):
            raise Rejected(
                f"A {name} pass of 256 rows takes {seconds:.1f} s, more than "
                f"{COST_FACTOR:.0f} times the reference model's {reference:.2f} s; make it cheaper."
            )


def _reference_seconds(check: _Check) -> float | None:
    try:
        package = house.package(REFERENCE, check.task.name)
    except ArenaError:
        return None
    x, _ = check.examples(256)
    with check.seat(package) as seat:
        seat.predict(x[:8], np.zeros(8, np.uint64))
        started = seat.seconds
        seat.predict(x, np.zeros(len(x), np.uint64))
        return (seat.seconds - started) * 256 / len(x)


def _deterministic(check: _Check, x: Array, seeds: Array, scores: Array) -> None:
    with check.seat() as seat:
        again = seat.predict(x, seeds)
        other = seat.predict(x, seeds + np.uint64(1)) if check.manifest.stochastic else again
    if _differs(again, scores):
        remedy = "draw from the given seeds alone" if check.manifest.stochastic else "seed it"
        raise PlayerError(
            Side.DEFENSE,
            FaultCode.NOT_DETERMINISTIC,
            f"The same input and seed gave another answer in a fresh process; {remedy}, or "
            "declare stochastic = true.",
        )
    check.figures["stochastic"] = check.manifest.stochastic
    if check.manifest.stochastic:
        check.figures["answers_change_with_seed"] = _differs(other, again)


def _grey(check: _Check, x: Array, y: Array, seeds: Array, scores: Array) -> tuple[bool, str]:
    """Grey-box rounds reveal the architecture alone; it must be one, and hold no weights."""
    manifest = check.manifest
    if not manifest.architecture:
        return False, "There is no architecture file."
    if manifest.framework is not Framework.TORCH:
        return True, "The architecture is a description without weights."
    if not manifest.weights:
        return False, "Architecture and weights are not separate files."
    try:
        if not _reproduces(check, x[:PROBE_ROWS], seeds[:PROBE_ROWS], scores[:PROBE_ROWS]):
            return False, "Architecture and weights alone do not reproduce the player."
        accuracy = _redrawn_accuracy(check, x, y, seeds)
    except PlayerError as error:
        return False, f"Architecture and weights cannot be loaded apart: {error}"
    check.figures["redrawn_accuracy"] = accuracy
    chance = float(np.bincount(y).max()) / len(y)
    if accuracy > chance + NEAR_CHANCE:
        return False, "Without its weights the architecture is still far above chance."
    return True, "Architecture and weights are separate and reproduce the player."


def _reproduces(check: _Check, x: Array, seeds: Array, scores: Array) -> bool:
    """A player that wraps its model is held to the model's part: its labels on clean inputs."""
    if not check.manifest.entry:
        return True
    with check.seat(_plain(check.package, weights=True)) as seat:
        alone = seat.predict(x, seeds)
    columns = min(alone.shape[1], scores.shape[1])
    same = alone[:, :columns].argmax(axis=1) == scores[:, :columns].argmax(axis=1)
    check.figures["architecture_agrees"] = float(same.mean())
    return bool(same.mean() >= 0.9)


def _redrawn_accuracy(check: _Check, x: Array, y: Array, seeds: Array) -> float:
    """Clean accuracy of the untrained builder."""
    with check.seat(_plain(check.package, weights=False)) as seat:
        scores = seat.predict(x, seeds)
    return float((scores[:, : len(check.task.classes)].argmax(axis=1) == y).mean())


def _plain(package: Package, *, weights: bool) -> Package:
    """Architecture (and weights) without the player's own code."""
    manifest = replace(
        package.manifest,
        entry="",
        weights=package.manifest.weights if weights else "",
        stochastic=False,
        abstains=False,
    )
    names = [manifest.architecture, *([manifest.weights] if weights else [])]
    return Package(manifest, {FILE_NAME: _toml(manifest)} | _files(package, names), package.sha256)


def _files(package: Package, names: Sequence[str]) -> dict[str, bytes]:
    return {name: package.files[name] for name in names}


def _toml(manifest: Manifest) -> bytes:
    lines = [
        "schema_version = 1",
        f"name = {json.dumps(manifest.name, ensure_ascii=True)}",
        f'role = "{manifest.role.value}"',
        f'framework = "{manifest.framework.value}"',
        f'output = "{manifest.output.value}"',
        f"architecture = {json.dumps(manifest.architecture)}",
        f"differentiable = {json.dumps(manifest.differentiable)}",
    ]
    if manifest.weights:
        lines.append(f"weights = {json.dumps(manifest.weights)}")
    return "\n".join(lines).encode()


def _defense_sentence(check: _Check) -> str:
    accuracy, floor = check.figures["clean_accuracy"], check.task.floor
    if accuracy < floor:
        return (
            f"Qualified, but clean accuracy {accuracy:.1%} is {100 * (floor - accuracy):.1f} "
            f"points below the floor of {floor:.0%}: it will be shown without a rank."
        )
    return f"Qualified with {accuracy:.1%} clean accuracy (floor {floor:.0%})."


# ── attacks ────────────────────────────────────────────────────────────────────────────────


def _attack(check: _Check) -> str:
    check.report("Playing a friendly against the house.", 3)
    friendly = _friendly(check)
    check.figures["friendly"] = _summary(friendly)
    check.report("Looking for planted examples.", 3)
    planted = _planted(check)
    check.figures["planted"] = planted
    missed = [row for row in planted if not row["reliable"]]
    told_by = ("wrong_again", "fresh_error", "attack_success_rate")
    broken = next((friendly.metrics[key] for key in told_by if key in friendly.metrics), None)
    told = "nothing to break" if broken is None else f"{broken:.0%} success on a house model"
    if missed:
        norms = ", ".join(str(row["norm"]) for row in missed)
        return (
            f"Qualified with {told}, marked unreliable: it missed planted adversarial examples "
            f"({norms}), so its failures prove nothing."
        )
    return f"Qualified with {told}."


def _friendly(check: _Check) -> Verdict:
    """A short match in the first round that this attack says it can play."""
    for round_ in _rounds(check):
        first = round_.game is GameName.ATTACKER_FIRST
        defense = house.package(HOUSE_LEARNER if first else HOUSE_DEFENSE, check.task.name)
        verdict = _play(check, round_, defense, check.task)
        if verdict.status is not Status.NOT_APPLICABLE:
            return _judged(check, verdict)
    raise Rejected(
        "No round can meet what [needs] in the manifest asks for; ask for less, or for another "
        "norm, goal or game."
    )


def _rounds(check: _Check) -> list[RoundSpec]:
    needs, task = check.manifest.needs, check.task
    norms = [Norm(name) for name in needs.norms] or [Norm.LINF]
    goals = [Goal(name) for name in needs.goals] or [Goal.UNTARGETED]
    games = [GameName(name) for name in needs.games] or [GameName.EVASION]
    return [
        round_
        for norm in norms[:1]
        for goal in goals[:1]
        for game in games
        for round_ in _rounds_of(game, task, Norm(norm_for(game, norm)), goal)
        if misfit(task, round_.game) is None
    ]


def _rounds_of(game: GameName, task: Task, norm: Norm, goal: Goal) -> list[RoundSpec]:
    if ROLES.get(game, USUAL_ROLES)[0] is not Role.ATTACK:
        return []
    measured = game in (GameName.MINIMUM_NORM, GameName.CERTIFICATION)
    if norm in MOVES and (measured or not task.is_image):
        return []
    models = [ThreatModel.transfer()]
    if game is not GameName.TRANSFER:
        models = [ThreatModel.white(), _black(), ThreatModel.grey()]
    epsilons = () if game is GameName.MINIMUM_NORM else (epsilon_of(task, norm),)
    return [
        RoundSpec(
            game,
            task.name,
            threat_model_for(game, model),
            norm=norm,
            epsilons=epsilons,
            goal=goal,
            examples=FRIENDLY_EXAMPLES,
        )
        for model in models
    ]


def _black() -> ThreatModel:
    return replace(
        ThreatModel.black(queries=PLANTED_PROBES), output=OracleOutput(OutputKind.LOGITS)
    )


def epsilon_of(task: Task, norm: Norm) -> float:
    """The task's largest epsilon for a norm, or what is usual of the kind."""
    given = task.norms.get(norm.value) or USUAL_LEVELS.get(norm)
    if given:
        return float(max(given))
    features = float(np.prod(task.shape))
    usual: dict[Norm, float] = {
        Norm.LINF: 0.3,
        Norm.L2: 0.1 * features**0.5,
        Norm.L1: 0.02 * features,
        Norm.L0: max(2.0, float(int(0.1 * features))),
    }
    return usual[norm]


def _play(check: _Check, round_: RoundSpec, defense: Package, task: Task) -> Verdict:
    related: tuple[Package, ...] = ()
    if check.manifest.needs.related or round_.game is GameName.TRANSFER:
        related = house.related(defense.manifest.family, check.task.name)
    reference = None
    if round_.game is GameName.ATTACKER_FIRST:
        reference = house.package(HOUSE_DEFENSE, check.task.name)
    match = MatchSpec(
        round_,
        check.package,
        defense,
        seed=1,
        secret=SECRET,
        related=related,
        reference=reference,
    )
    return play_match(match, backend=check.backend, task=task, progress=check.progress)


def _judged(check: _Check, verdict: Verdict) -> Verdict:
    """A forfeit by the submission rejects it; a void is ours."""
    check.log.append(verdict.logs.get(check.manifest.role.side, ""))
    if verdict.status is Status.VOID:
        raise RuntimeError(verdict.fault.sentence if verdict.fault else "The friendly was void.")
    if verdict.fault and verdict.fault.side is Side(check.manifest.role.side):
        check.figures["fault"] = verdict.fault.code.value if verdict.fault.code else None
        raise Rejected(verdict.fault.sentence)
    return verdict


def _summary(verdict: Verdict) -> dict[str, Any]:
    wanted = (
        "wrong_again",
        "fresh_error",
        "attack_success_rate",
        "robust_accuracy",
        "clean_accuracy",
        "rejected",
    )
    found = {key: verdict.metrics[key] for key in wanted if key in verdict.metrics}
    return {**found, "seconds": verdict.provenance.get("seconds")}


def _planted(check: _Check) -> list[dict[str, Any]]:
    """One row per norm that the attack claims; empty for those that cannot be held to it.

    Exempt: attacks that ask nothing of the defense (noise, transfer), and rounds of distance.
    """
    needs = check.manifest.needs
    if not (needs.gradients or needs.probes) or Goal.UNTARGETED.value not in (
        needs.goals or (Goal.UNTARGETED.value,)
    ):
        return []
    if needs.games and GameName.EVASION.value not in needs.games:
        return []
    norms = [Norm(name) for name in needs.norms] or [Norm.LINF, Norm.L2]
    return [_planted_row(check, norm) for norm in norms if norm not in MOVES or check.task.is_image]


def _planted_row(check: _Check, norm: Norm) -> dict[str, Any]:
    epsilon = epsilon_of(check.task, norm)
    planted = plant(
        check.task,
        norm=norm,
        epsilon=epsilon,
        examples=PLANTED_EXAMPLES,
        rng=np.random.default_rng(),
        by_probes=not check.manifest.needs.gradients,
    )
    needs = check.manifest.needs
    model = ThreatModel.white() if needs.gradients else _black()
    round_ = RoundSpec(
        GameName.EVASION,
        check.task.name,
        model,
        norm=norm,
        epsilons=(epsilon,),
        examples=PLANTED_EXAMPLES,
    )
    verdict = _judged(check, _play(check, round_, planted.defense, planted.task))
    rate = verdict.metrics.get("attack_success_rate") or 0.0
    return {
        "norm": norm.value,
        "epsilon": epsilon,
        "examples": PLANTED_EXAMPLES,
        "success": rate,
        "reliable": rate >= RELIABLE,
    }


# ── learners and poisoners ─────────────────────────────────────────────────────────────────


def _learner(check: _Check) -> str:
    if check.task.is_regression:
        return _estimator(check)
    train = check.task.train
    x, y = check.examples(CLEAN_EXAMPLES)
    seeds = np.arange(len(x), dtype=np.uint64)
    check.report("Training it on the clean training set.", 2)
    first = _trained(check, train.x, train.y, x, seeds)
    _clean_accuracy(check, first, y)
    check.report("Training it again in a fresh process.", 2)
    again = _trained(check, train.x, train.y, x, seeds)
    if _differs(again, first):
        raise PlayerError(
            Side.DEFENSE,
            FaultCode.NOT_DETERMINISTIC,
            "The same data and seed trained another model; draw from the given seed alone.",
        )
    return _defense_sentence(check)


def _estimator(check: _Check) -> str:
    """Fitted to the practice series in a match that nobody attacks, and twice to one of them."""
    split = check.task.practice
    rows = np.flatnonzero(split.x[:, -1] == split.x[0, -1]) if split.x.shape[1] > 1 else slice(None)
    x, y = split.x[rows], split.y[rows]
    seeds = np.zeros(len(x), np.uint64)
    check.report("Fitting it to a series, twice.", 2)
    first, again = (_trained(check, x, y, x, seeds) for _ in range(2))
    if _differs(again, first):
        raise PlayerError(
            Side.DEFENSE,
            FaultCode.NOT_DETERMINISTIC,
            "The same data and seed fitted another line; draw from the given seed alone.",
        )
    check.report("Fitting it to the practice series.", 2)
    verdict = _friendly_trend(check, house.package(HOUSE_LEVELLER, check.task.name), check.package)
    check.figures["clean_accuracy"] = verdict.metrics["clean_accuracy"]
    check.figures["friendly"] = dict(verdict.metrics)
    return _defense_sentence(check)


def _friendly_trend(check: _Check, attack: Package, defense: Package) -> Verdict:
    norm = Norm((check.manifest.needs.norms or ("l2",))[0])
    round_ = RoundSpec(
        GameName.TREND_POISONING,
        check.task.name,
        threat_model_for(GameName.TREND_POISONING, ThreatModel.white()),
        norm=norm,
        epsilons=(epsilon_of(check.task, norm),),
        examples=FRIENDLY_EXAMPLES,
    )
    match = MatchSpec(round_, attack, defense, seed=1, secret=SECRET)
    verdict = play_match(match, backend=check.backend, task=check.task, progress=check.progress)
    return _judged(check, verdict)


def _trained(check: _Check, x: Array, y: Array, held_out: Array, seeds: Array) -> Array:
    seat = check.seat()
    try:
        seat.fit(x, y, 1)
        check.figures["seconds_to_train"] = seat.seconds
        return seat.predict(held_out, seeds)
    finally:
        check.log.append(seat.close())


def _poisoner(check: _Check) -> str:
    """A friendly in each kind of round that it says it plays."""
    if check.task.is_regression:
        return _leveller(check)
    named = [game for game in _FRIENDLIES if game.value in check.manifest.needs.games]
    found = [_friendly_of(check, game) for game in named or [GameName.POISONING]]
    return f"Qualified; {' and '.join(found)}."


_FRIENDLIES: Final[dict[GameName, tuple[str, str, str]]] = {
    GameName.POISONING: (
        "friendly",
        "delta_error",
        "it adds {:.1f} points of error to a house learner at 10 %",
    ),
    GameName.BACKDOOR: (
        "friendly_backdoor",
        "attack_success_rate",
        "its trigger reaches {:.0f} % of a house learner's inputs at 10 %",
    ),
    GameName.TARGETED_POISONING: (
        "friendly_targeted",
        "attack_success_rate",
        "it wins {:.0f} % of the chosen points from a house learner at 10 %",
    ),
    GameName.ONLINE_POISONING: (
        "friendly_online",
        "delta_error_over_time",
        "it adds {:.1f} points to a house learner's error over time at 10 %",
    ),
}
"""What a poisoner is tried in: under which name its figures stand, which one is told, and how."""


def _leveller(check: _Check) -> str:
    check.report("Playing a friendly against least squares.", 1)
    house_learner = house.package(HOUSE_ESTIMATOR, check.task.name)
    verdict = _friendly_trend(check, check.package, house_learner)
    check.figures["friendly"] = dict(verdict.metrics)
    removed = verdict.metrics.get("attack_success_rate") or 0.0
    return f"Qualified; it removes {removed:.0%} of the trends that least squares tells."


def _friendly_of(check: _Check, game: GameName) -> str:
    name, figure, sentence = _FRIENDLIES[game]
    verdict = _friendly_poisoning(check, game)
    check.figures[name] = dict(verdict.metrics)
    return sentence.format(100 * (verdict.metrics.get(figure) or 0.0))


def _friendly_poisoning(check: _Check, game: GameName) -> Verdict:
    check.report("Playing a friendly against a house learner.", 1)
    round_ = RoundSpec(
        game,
        check.task.name,
        ThreatModel.black(),
        shares=(0.1,),
        examples=min(200, len(check.task.practice)),
    )
    defense = house.package(HOUSE_LEARNER, check.task.name)
    verdict = _judged(check, _play(check, round_, defense, check.task))
    if verdict.status is Status.NOT_APPLICABLE:
        raise NotApplicable(verdict.fault.sentence if verdict.fault else "Not applicable.")
    return verdict


def _thief(check: _Check) -> str:
    check.report("Stealing a house model.", 1)
    model = replace(
        ThreatModel.black(),
        probes=Probes(total=FRIENDLY_PROBES),
        output=OracleOutput(OutputKind.LOGITS if check.manifest.needs.output == "logits"
                            else OutputKind.PROBABILITIES),
    )  # fmt: skip
    round_ = RoundSpec(
        GameName.EXTRACTION,
        check.task.name,
        model,
        examples=min(200, len(check.task.practice)),
    )
    defense = house.package(HOUSE_DEFENSE, check.task.name)
    verdict = _judged(check, _play(check, round_, defense, check.task))
    if verdict.status is Status.NOT_APPLICABLE:
        raise Rejected(
            "A thief is tried in a black-box round, and [needs] in the manifest asks for more: "
            f"{verdict.fault.sentence if verdict.fault else ''}"
        )
    check.figures["friendly"] = dict(verdict.metrics)
    fidelity = verdict.metrics.get("fidelity") or 0.0
    asked = f"{FRIENDLY_PROBES:,} probes"
    return f"Qualified; its copy of a house model agrees on {fidelity:.0%} after {asked}."


_CHECKS: Final[dict[Role, Callable[[_Check], str]]] = {
    Role.DEFENSE: _defense,
    Role.ATTACK: _attack,
    Role.LEARNER: _learner,
    Role.POISONER: _poisoner,
    Role.THIEF: _thief,
}


# ── as a command ───────────────────────────────────────────────────────────────────────────


def main(
    arguments: Sequence[str] | None = None,
    *,
    backend: SandboxBackend | None = None,
    progress: Progress | None = None,
) -> int:
    """Check the package of a file. ``backend``: the strongest of this machine where left out."""
    parser = argparse.ArgumentParser(prog="python -m arena.qualification")
    parser.add_argument("package", type=Path)
    parser.add_argument("--task", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        finding = _finding(options.package, options.task, backend, progress or _print)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is ours; the site tries again)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return OUR_FAULT
    finding.figures["seconds"] = round(time.monotonic() - started, 3)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "log.txt").write_text(finding.log, "utf-8")
    text = json.dumps(finding.to_json(), allow_nan=False)
    (options.out / "qualification.json").write_text(text, "utf-8")
    return OK


def _print(step: Step) -> None:
    sys.stdout.write(json.dumps(asdict(step)) + "\n")
    sys.stdout.flush()


def _finding(
    path: Path, task: str, backend: SandboxBackend | None, progress: Progress
) -> Qualification:
    try:
        package = Package.read(path)
    except PackageError as error:
        return Qualification(False, str(error))
    chosen = backend or choose(trusted=False)
    return qualify(package, task=tasks.load(task), backend=chosen, progress=progress)


if __name__ == "__main__":
    raise SystemExit(main())
