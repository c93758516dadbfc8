"""The house players held to the figures of the literature: ``python -m arena.calibrate``.

Every line is played by the referee in the jail, like any match. A line names the paper's figure,
the bar that our own measurement set, and what came out with its 95 % Wilson interval; the model
file, target rule and seeds that it hangs on stand under the table. Exit status 1 when a bar is
missed. ``--quick`` plays fewer examples and leaves the slow lines out; ``--json FILE`` writes all.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from arena import house, tasks
from arena.packages import Package
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, Goal, Limits, Norm, RoundSpec
from arena.sandbox import choose
from arena.threat_model import OracleOutput, OutputKind, Probes, ThreatModel
from arena.verdict import Status, Verdict

TASK: Final = "mnist5k"
SEED: Final = 1
SECRET: Final = b"calibration: which examples, which targets"
LONG: Final = Limits(wall_seconds=900.0, cpu_seconds=900.0)

TRANSFER: Final[dict[str, Any]] = {
    "game": GameName.TRANSFER,
    "threat_model": ThreatModel.transfer(),
}

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Line:
    """One bar: what the paper says, what we ask, what was measured."""

    id: str
    method: str
    paper: str
    bar: str
    measured: str
    interval: tuple[float, float] | None
    held: bool
    setting: str
    seconds: float = 0.0


class BarError(Exception):
    """A match of the calibration ended without a score."""


@dataclass
class Laboratory:
    """Plays matches and keeps what was played: several lines read the same match."""

    examples: int
    played: dict[str, Verdict] = field(default_factory=dict)
    say: Callable[[str], None] = print

    def play(
        self, attack: str, defense: str | Package, *, task: str = TASK, **round_fields: Any
    ) -> Verdict:
        """The verdict; several epsilons make a curve."""
        fields: dict[str, Any] = {"game": GameName.EVASION, "threat_model": ThreatModel.white()}
        fields |= round_fields
        spec = RoundSpec(
            task=task,
            examples=self.examples,
            attack_limits=LONG,
            defense_limits=LONG,
            **fields,
        )
        package = house.package(defense, task) if isinstance(defense, str) else defense
        key = json.dumps([attack, package.sha256, spec.to_json()], sort_keys=True)
        if key not in self.played:
            self.played[key] = self._play(house.package(attack, task), package, spec)
        return self.played[key]

    def _play(self, attack: Package, defense: Package, spec: RoundSpec) -> Verdict:
        self.say(f"  {attack.manifest.name} against {defense.manifest.name} ({spec.game.value})")
        match = MatchSpec(
            round=spec,
            attack=attack,
            defense=defense,
            seed=SEED,
            secret=SECRET,
            related=house.related(defense.manifest.family, spec.task),
        )
        backend = choose(trusted=True)
        verdict = play_match(match, backend=backend, task=tasks.load(spec.task))
        if verdict.status is not Status.SCORED:
            sentence = verdict.fault.sentence if verdict.fault else verdict.status.value
            raise BarError(f"{attack.manifest.name}: {sentence}")
        return verdict

    def setting(self, defense: str, *, task: str = TASK, more: str = "") -> str:
        digest = house.package(defense, task).sha256[:12]
        extra = f", {more}" if more else ""
        return f"{defense}-{task} {digest}, {self.examples} examples, seed {SEED}{extra}"


# ── reading verdicts ───────────────────────────────────────────────────────────────────────────


def at(verdict: Verdict, epsilon: float) -> Mapping[str, Any]:
    """The metrics at one radius of the curve."""
    rows = [row for row in verdict.curve if abs(figure(row, "epsilon") - epsilon) < 1e-9]
    (row,) = rows
    return row


def figure(metrics: Mapping[str, Any], name: str) -> float:
    """A metric that a scored match always has; 0 where it is none, such as no mistake to repeat."""
    return float(metrics[name] or 0.0)


def interval(metrics: Mapping[str, Any], name: str) -> tuple[float, float]:
    return figure(metrics, f"{name}_low"), figure(metrics, f"{name}_high")


def broken(verdict: Verdict, row: int = -1) -> Bools:
    """(n,) which examples this attack broke, at the row-th radius."""
    assert verdict.kills is not None
    bits: Bools = verdict.kills.broken[row]
    return bits


def won_sizes(verdict: Verdict, norm: str) -> NDArray[np.float64]:
    """Sizes of the perturbations that succeeded on examples that were right."""
    assert verdict.outcome is not None
    columns = verdict.outcome.columns
    chosen = columns["broken"] & columns["clean_right"]
    return np.asarray(columns[norm][chosen], np.float64)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


# ── attacks ────────────────────────────────────────────────────────────────────────────────────


def fgsm(lab: Laboratory) -> list[Line]:
    verdict = lab.play("fgsm", "logistic-regression", epsilons=(0.25,))
    low, high = interval(verdict.metrics, "robust_accuracy")
    error = 1 - figure(verdict.metrics, "robust_accuracy")
    line = Line(
        "A1",
        "FGSM, softmax model, ε .25",
        "99.9 % error, confidence .79",
        "≥ 96 %",
        f"{percent(error)}, confidence {verdict.metrics['mistake_confidence']:.2f}",
        (1 - high, 1 - low),
        error >= 0.96,
        lab.setting("logistic-regression", more="true labels"),
    )
    return [line]


def pgd(lab: Laboratory) -> list[Line]:
    radii = (0.05, 0.1, 0.2, 0.3)
    strong, weak = (lab.play(name, "cnn", epsilons=radii) for name in ("pgd", "fgsm"))
    curve = [figure(at(strong, radius), "robust_accuracy") for radius in radii]
    single = [figure(at(weak, radius), "robust_accuracy") for radius in radii]
    setting = lab.setting("cnn", more="L∞")
    falls = all(a >= b for a, b in itertools.pairwise(curve))
    below = all(a <= b for a, b in zip(curve, single, strict=True))
    shown = "/".join(f"{100 * value:.0f}" for value in curve)
    other = "/".join(f"{100 * value:.0f}" for value in single)
    last = interval(at(strong, 0.3), "robust_accuracy")
    return [
        Line(
            "A2",
            "PGD L∞, CNN, ε .05/.1/.2/.3",
            "",
            "falls with ε, 0 at .3",
            f"robust {shown} %",
            last,
            falls and curve[-1] == 0,
            setting,
        ),
        Line("A2", "PGD against FGSM", "", "PGD ≤ FGSM", f"FGSM {other} %", None, below, setting),
        _linear_optimum(lab),
    ]


def _linear_optimum(lab: Laboratory) -> Line:
    """A linear model of two classes has an exact worst case: no attack does better."""
    task, radius = tasks.load("mnist-1-7"), 0.1
    verdict = lab.play("pgd", "logistic-regression", task=task.name, epsilons=(radius,))
    assert verdict.kills is not None
    package = house.package("logistic-regression", task.name)
    arrays = safetensors.numpy.load(package.files["weights.safetensors"])
    x = task.practice.x[verdict.kills.examples].reshape(len(verdict.kills.examples), -1)
    optimum = linear_margins(
        arrays["1.weight"], arrays["1.bias"], x, task.practice.y[verdict.kills.examples], radius
    )
    exact = verdict.kills.clean_right & (optimum < 0)
    agree = float((exact == (broken(verdict) & verdict.kills.clean_right)).mean())
    return Line(
        "A2",
        f"PGD, linear model, ε {radius:g}",
        "the exact optimum",
        "the same examples",
        f"{percent(agree)} agree, {int(exact.sum())} can be broken",
        None,
        agree == 1.0,
        lab.setting("logistic-regression", task=task.name),
    )


def linear_margins(
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    radius: float,
) -> NDArray[np.float64]:
    """(n,) smallest margin z_y - z_other of a two-class linear model in the L∞ ball and box."""
    slope = (weight[1] - weight[0]).astype(np.float64)
    side = np.where(y == 1, 1.0, -1.0)[:, None]
    worst = np.clip(x - radius * np.sign(side * slope), 0, 1).astype(np.float64)
    margins: NDArray[np.float64] = side[:, 0] * (worst @ slope + float(bias[1]) - float(bias[0]))
    return margins


def jsma(lab: Laboratory) -> list[Line]:
    verdict = lab.play("jsma", "cnn", game=GameName.MINIMUM_NORM, norm=Norm.L0, goal=Goal.TARGETED)
    features = int(np.prod(tasks.load(TASK).shape))
    rate = figure(verdict.metrics, "attack_success_rate")
    share = float(won_sizes(verdict, "l0").mean()) / features
    line = Line(
        "A3",
        "JSMA, pairs, Υ 14.5 %",
        "97.1 % at 4.02 %",
        "≥ 92 % at ≤ 6 %",
        f"{percent(rate)} at {percent(share)} of features",
        interval(verdict.metrics, "attack_success_rate"),
        rate >= 0.92 and share <= 0.06,
        lab.setting("cnn", more="random targets"),
    )
    return [line]


def carlini_wagner(lab: Laboratory) -> list[Line]:
    verdict = lab.play("cw-l2", "cnn", game=GameName.MINIMUM_NORM, norm=Norm.L2, goal=Goal.TARGETED)
    rate = figure(verdict.metrics, "attack_success_rate")
    distance = float(won_sizes(verdict, "l2").mean())
    line = Line(
        "A4",
        "Carlini-Wagner L2",
        "100 % at 1.76 on average",
        "100 % at ≤ 2.2",
        f"{percent(rate)} at {distance:.2f}",
        interval(verdict.metrics, "attack_success_rate"),
        rate == 1.0 and distance <= 2.2,
        lab.setting("cnn", more="random targets"),
    )
    return [line]


def substitute(lab: Laboratory) -> list[Line]:
    labels = replace(
        ThreatModel.black(), probes=Probes(total=6400), output=OracleOutput(OutputKind.LABEL)
    )
    return [
        _substitute(lab, labels, "cnn", "84.2 % (DNN)", 0.55),
        _substitute(lab, labels, "logistic-regression", "96.2 % (LR)", 0.65),
    ]


def _substitute(
    lab: Laboratory, labels: ThreatModel, defense: str, paper: str, least: float
) -> Line:
    verdict = lab.play("jacobian-substitute", defense, threat_model=labels, epsilons=(0.3,))
    noise = lab.play("random-noise", defense, threat_model=ThreatModel.transfer(), epsilons=(0.3,))
    rate = figure(verdict.metrics, "attack_success_rate")
    floor = figure(noise.metrics, "attack_success_rate")
    return Line(
        "A5",
        f"Jacobian substitute, {defense}, ε .3",
        paper,
        f"≥ {percent(least)}, ≥ 2 x noise",
        f"{percent(rate)} by {verdict.metrics['queries']:,} labels; noise {percent(floor)}",
        interval(verdict.metrics, "attack_success_rate"),
        rate >= least and rate >= 2 * floor,
        lab.setting(defense, more="150 points, labels only"),
    )


def transfer(lab: Laboratory) -> list[Line]:
    """The order in which families fall to examples made on others."""
    radius = 0.3
    opponents: dict[str, str | Package] = {
        "DNN": "cnn",
        "SVM": support_vector_machine(),
        "tree": "decision-tree",
        "kNN": "nearest-neighbour",
    }
    verdicts = {
        name: lab.play("ensemble-transfer", opponent, epsilons=(radius,), **TRANSFER)
        for name, opponent in opponents.items()
    }
    rates = {name: figure(v.metrics, "attack_success_rate") for name, v in verdicts.items()}
    bounds = [interval(v.metrics, "attack_success_rate") for v in verdicts.values()]
    shown = ", ".join(f"{name} {100 * rate:.0f}" for name, rate in rates.items())
    line = Line(
        "A6",
        f"Transfer from the ensemble, ε {radius:g}",
        "DNN 99, SVM 97, tree 92, kNN 36 %",
        "this order, kNN surely least",
        f"{shown} %",
        bounds[-1],
        in_order(bounds) and bounds[-1][1] < min(low for low, _ in bounds[:-1]),
        lab.setting("cnn", more="related models and 4 families trained on the spot"),
    )
    return [line]


def in_order(bounds: Sequence[tuple[float, float]]) -> bool:
    """Whether no later interval lies wholly above an earlier one."""
    return all(late[0] <= early[1] for early, late in itertools.combinations(bounds, 2))


def support_vector_machine() -> Package:
    """A linear support vector machine on the examples that the house's tree is fitted on."""
    source = house.package("decision-tree", TASK)
    manifest = (
        'schema_version = 1\nname = "Linear SVM"\nrole = "defense"\nframework = "sklearn"\n'
        'architecture = "architecture.toml"\nweights = "weights.npz"\nfamily = "linear SVM"\n'
    )
    return Package.of(
        {
            "manifest.toml": manifest.encode(),
            "architecture.toml": b'class = "sklearn.svm.LinearSVC"\n[params]\nC = 0.01\n',
            "weights.npz": source.files["weights.npz"],
        }
    )


# ── defenses ───────────────────────────────────────────────────────────────────────────────────


def baseline(lab: Laboratory, defense: str, least: float) -> list[Line]:
    """Clean accuracy of the undefended, as a match of one small step shows it."""
    noise = lab.play("random-noise", defense, threat_model=ThreatModel.transfer(), epsilons=(0.3,))
    clean = figure(noise.metrics, "clean_accuracy")
    line = Line(
        "D0",
        f"{defense}, clean accuracy",
        "",
        f"≥ {percent(least)}",
        percent(clean),
        interval(noise.metrics, "clean_accuracy"),
        clean >= least,
        lab.setting(defense),
    )
    return [line]


def adversarial_training(lab: Laboratory) -> list[Line]:
    verdict = lab.play("pgd", "adversarial-training", epsilons=(0.3,))
    robust = figure(verdict.metrics, "robust_accuracy")
    setting = lab.setting("adversarial-training")
    black = lab.play("ensemble-transfer", "adversarial-training", epsilons=(0.3,), **TRANSFER)
    outside = figure(black.metrics, "robust_accuracy")
    return [
        Line(
            "D1",
            "Adversarial training, PGD, ε .3",
            "98.8 clean, 93.2 / 89.3 %",
            "≥ 70 %",
            f"clean {percent(figure(verdict.metrics, 'clean_accuracy'))}, robust {percent(robust)}",
            interval(verdict.metrics, "robust_accuracy"),
            robust >= 0.70,
            setting,
        ),
        Line(
            "D1",
            "Adversarial training, transfer, ε .3",
            "95.7 %",
            "> white-box",
            f"robust {percent(outside)}",
            interval(black.metrics, "robust_accuracy"),
            outside > robust,
            setting,
        ),
    ]


def smoothing(lab: Laboratory) -> list[Line]:
    """Smoothing helps in L2, and its answers repeat less than certainly."""
    fields: dict[str, Any] = {"norm": Norm.L2, "epsilons": (1.0,)}
    noisy = lab.play("pgd", "randomized-smoothing", **fields)
    plain = lab.play("pgd", "cnn", **fields)
    clean = figure(noisy.metrics, "clean_accuracy")
    robust = figure(noisy.metrics, "robust_accuracy")
    undefended = figure(plain.metrics, "robust_accuracy")
    repeat = figure(noisy.metrics, "repeatability")
    line = Line(
        "D6",
        "Randomized smoothing, PGD L2, ε 1",
        "clean .935 at σ .5",
        "clean ≥ 90 %, above CNN, repeats < 1",
        f"clean {percent(clean)}, robust {percent(robust)} (CNN {percent(undefended)}), "
        f"repeats {repeat:.2f}",
        interval(noisy.metrics, "robust_accuracy"),
        clean >= 0.9 and robust > undefended and repeat < 1.0,
        lab.setting("randomized-smoothing", more="σ .25, 10 votes, judged 10 times"),
    )
    return [line]


def discretisation(lab: Laboratory) -> list[Line]:
    radius = 0.2
    white = lab.play("pgd", "input-discretisation", epsilons=(radius,))
    black = lab.play(
        "square", "input-discretisation", threat_model=ThreatModel.black(500), epsilons=(radius,)
    )
    seen, real = (figure(verdict.metrics, "robust_accuracy") for verdict in (white, black))
    line = Line(
        "D7",
        f"Input discretisation, ε {radius:g}",
        "masked: 95.2 % by gradients",
        "black-box ≥ 20 points lower",
        f"PGD {percent(seen)}, Square {percent(real)}",
        interval(black.metrics, "robust_accuracy"),
        seen - real >= 0.2,
        lab.setting("input-discretisation"),
    )
    return [line]


# ── theft, certificates, backdoors ─────────────────────────────────────────────────────────────


def _stolen(
    lab: Laboratory,
    thief: str,
    defense: str,
    queries: int,
    output: OracleOutput = OracleOutput(OutputKind.PROBABILITIES),  # noqa: B008 (it is frozen)
) -> Verdict:
    model = replace(ThreatModel.black(), probes=Probes(total=queries), output=output)
    return lab.play(
        thief, defense, task="digits", game=GameName.EXTRACTION, threat_model=model, epsilons=()
    )


def theft(lab: Laboratory) -> list[Line]:
    """Tramer et al. 2016: equations need as many answers as weights, labels many more."""
    rounded = OracleOutput(OutputKind.ROUNDED, decimals=3)
    label = OracleOutput(OutputKind.LABEL)
    runs = (
        ("Equation solving, probabilities", "equation-solving", 65, None, 1.0, "equivalent"),
        ("Equation solving, 3 decimals", "equation-solving", 650, rounded, 0.994, "weakens"),
        ("Adaptive retraining, labels", "adaptive-retraining", 3250, label, 0.87, "827: > 99 %"),
    )
    lines = []
    for method, thief, queries, output, least, paper in runs:
        given = () if output is None else (output,)
        verdict = _stolen(lab, thief, "logistic-regression", queries, *given)
        fidelity = figure(verdict.metrics, "fidelity")
        lines.append(
            Line(
                "A9",
                f"{method}, {queries:,} probes",
                paper,
                f"fidelity ≥ {percent(least)}",
                f"{percent(fidelity)}, κ {figure(verdict.metrics, 'uniform_kappa'):.3f} "
                "on uniform points",
                interval(verdict.metrics, "fidelity"),
                fidelity >= least,
                lab.setting("logistic-regression", task="digits"),
            )
        )
    return lines


def anti_theft(lab: Laboratory) -> list[Line]:
    """Rounding weakens equations, and the label alone hurts most, at equal probes."""
    defenses = ("logistic-regression", "rounded-answers", "top-answer")
    found = [_stolen(lab, "equation-solving", defense, 65).metrics for defense in defenses]
    told = [figure(metrics, "fidelity") for metrics in found]
    line = Line(
        "D13",
        "Against equation solving, 65 probes",
        "2-3 decimals weaken, labels hurt most",
        "plain ≥ rounded > label alone",
        ", ".join(f"{name} {percent(f)}" for name, f in zip(defenses, told, strict=True)),
        interval(found[-1], "fidelity"),
        told[0] >= told[1] > told[2],
        lab.setting("rounded-answers", task="digits"),
    )
    return [line]


def certificates(lab: Laboratory) -> list[Line]:
    """No claim is refuted, and what is certified is never more than what holds."""
    proofs: dict[str, Any] = {
        "game": GameName.CERTIFICATION,
        "norm": Norm.L2,
        "epsilons": (0.5, 1.0),
    }
    noisy = lab.play("random-noise", "certified-smoothing", **proofs)
    linear = lab.play(
        "pgd", "certified-linear", **{**proofs, "norm": Norm.LINF, "epsilons": (0.02, 0.05, 0.1)}
    )
    half, whole = (figure(at(noisy, e), "certified_accuracy") for e in (0.5, 1.0))
    gaps = [figure(point, "certified_gap") for point in linear.curve]
    clean = figure(noisy.metrics, "clean_accuracy")
    return [
        Line(
            "D6",
            "Certified smoothing, L2 .5 and 1.0",
            "ImageNet .49 at .5",
            "certified ≥ 78 / 50 %, none refuted",
            f"clean {percent(clean)}, certified {percent(half)} / {percent(whole)}",
            interval(at(noisy, 1.0), "certified_accuracy"),
            half >= 0.78 and whole >= 0.5 and not figure(noisy.metrics, "claims_refuted"),
            lab.setting("certified-smoothing", more="σ .5, 1,000 copies, α .001"),
        ),
        Line(
            "D8",
            "Exact certificate of a linear model",
            "",
            "certified ≤ robust at every ε",
            ", ".join(
                f"{figure(p, 'certified_accuracy'):.3f} ≤ {figure(p, 'robust_accuracy'):.3f}"
                for p in linear.curve
            ),
            None,
            min(gaps) >= 0 and not figure(linear.metrics, "claims_refuted"),
            lab.setting("certified-linear"),
        ),
    ]


def backdoor(lab: Laboratory) -> list[Line]:
    verdict = lab.play(
        "badnets",
        "cnn-learner",
        game=GameName.BACKDOOR,
        threat_model=ThreatModel.black(),
        epsilons=(),
        shares=(0.01,),
    )
    rate, drop = (figure(verdict.metrics, name) for name in ("attack_success_rate", "clean_drop"))
    line = Line(
        "A7",
        "BadNets, 1 % of poison, patch of 2 %",
        "trigger > 99 %, clean unharmed",
        "success ≥ 90 %, clean drop ≤ 1 point",
        f"success {percent(rate)}, clean drop {100 * drop:.1f} points",
        interval(verdict.metrics, "attack_success_rate"),
        rate >= 0.9 and drop <= 0.01,
        lab.setting("cnn-learner", more="5 seeds"),
    )
    return [line]


# ── the table ──────────────────────────────────────────────────────────────────────────────────

Bar = Callable[[Laboratory], list[Line]]

BARS: Final[tuple[tuple[str, Bar], ...]] = (
    ("A1", fgsm),
    ("A2", pgd),
    ("A3", jsma),
    ("A4", carlini_wagner),
    ("A5", substitute),
    ("A6", transfer),
    ("D0", partial(baseline, defense="logistic-regression", least=0.88)),
    ("D0", partial(baseline, defense="cnn", least=0.94)),
    ("D0", partial(baseline, defense="nearest-neighbour", least=0.86)),
    ("D0", partial(baseline, defense="decision-tree", least=0.70)),
    ("D1", adversarial_training),
    ("D6", smoothing),
    ("D7", discretisation),
    ("A9", theft),
    ("D13", anti_theft),
    ("D8", certificates),
    ("A7", backdoor),
)
QUICK: Final = ("A1", "A2", "A3", "D7")


def measure(ids: Sequence[str], *, examples: int, say: Callable[[str], None] = print) -> list[Line]:
    """The lines of these bars, in order; what could not be played is a line that does not hold."""
    lab = Laboratory(examples, say=say)
    lines: list[Line] = []
    for id_, bar in (bar for bar in BARS if bar[0] in ids):
        start = time.monotonic()
        try:
            found = bar(lab)
        except BarError as error:
            found = [Line(id_, "", "", "is played", str(error), None, False, "")]
        spent = (time.monotonic() - start) / len(found)
        lines += [replace(line, seconds=round(spent, 1)) for line in found]
    return lines


def table(lines: Sequence[Line]) -> str:
    """The lines in columns, then what each hangs on."""
    head = ("", "method", "paper", "bar", "measured", "95 %", "s", "")
    rows = [head] + [
        (
            line.id,
            line.method,
            line.paper,
            line.bar,
            line.measured,
            "" if line.interval is None else f"{line.interval[0]:.3f}-{line.interval[1]:.3f}",
            f"{line.seconds:.0f}",
            "holds" if line.held else "MISSED",
        )
        for line in lines
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    notes = [f"{line.id} {line.method}: {line.setting}" for line in lines if line.setting]
    return "\n".join([*(row.rstrip() for row in text), "", *notes])


def main(arguments: Sequence[str] | None = None) -> int:
    every = list(dict.fromkeys(id_ for id_, _ in BARS))
    parser = argparse.ArgumentParser(prog="python -m arena.calibrate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer examples, no slow lines")
    parser.add_argument("--only", metavar="ID", help=f"one of {', '.join(every)}")
    parser.add_argument("--examples", type=int, help="examples a match (200; 40 when quick)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the lines there too")
    options = parser.parse_args(arguments)
    examples = options.examples or (40 if options.quick else 200)
    if options.only and options.only not in every:
        parser.error(f"there is no bar {options.only!r}; bars are {', '.join(every)}")
    ids = [options.only] if options.only else QUICK if options.quick else every
    lines = measure(ids, examples=examples, say=_progress)
    sys.stdout.write(table(lines) + "\n")
    if options.json:
        options.json.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n")
    return 0 if all(line.held for line in lines) else 1


def _progress(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
