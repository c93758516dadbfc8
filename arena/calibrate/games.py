"""The bars of theft, certificates, backdoors, replays, attacks that move first and trends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena import tasks
from arena.calibrate.lines import TASK, Laboratory, Line, at, figure, interval, percent
from arena.rounds import GameName, Norm, threat_model_for
from arena.threat_model import OracleOutput, OutputKind, Probes, ThreatModel
from arena.verdict import Verdict

MAILS: Final = "spamassassin-words"
PROBABILITIES: Final = OracleOutput(OutputKind.PROBABILITIES)
WAYS: Final = {
    "passive": (150, ThreatModel.transfer()),
    "100 labels a mail": (30, ThreatModel.black(queries=100)),
}
"""How many words good words take, and what they may know."""


def _stolen(
    lab: Laboratory,
    thief: str,
    defense: str,
    queries: int,
    output: OracleOutput = PROBABILITIES,
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
    return [*lines, _stolen_tree(lab)]


def _stolen_tree(lab: Laboratory) -> Line:
    """The paper's trees tell their leaves apart by their confidence; many of ours answer alike."""
    queries, least = 10_000, 0.85
    metrics = _stolen(lab, "path-finding", "decision-tree", queries).metrics
    fidelity = figure(metrics, "fidelity")
    return Line(
        "A9",
        f"Path finding, decision tree, {queries:,} probes",
        "equivalent trees",
        f"fidelity ≥ {percent(least)}",
        f"{percent(fidelity)}, κ {figure(metrics, 'uniform_kappa'):.3f} on uniform points",
        interval(metrics, "fidelity"),
        fidelity >= least,
        lab.setting("decision-tree", task="digits"),
        why="Pure leaves answer alike, so that answers do not name their leaf.",
    )


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
    """On every practice example: one point of accuracy is two examples of 200, and less than what
    a drop measured on so few varies by.
    """
    examples = len(tasks.load(TASK).practice)
    verdict = lab.play(
        "badnets",
        "cnn-learner",
        game=GameName.BACKDOOR,
        threat_model=ThreatModel.black(),
        epsilons=(),
        shares=(0.01,),
        examples=examples,
        seeds=10,
    )
    low, high = interval(verdict.metrics, "clean_drop")
    rate, drop = (figure(verdict.metrics, name) for name in ("attack_success_rate", "clean_drop"))
    line = Line(
        "A7",
        "BadNets, 1 % of poison, patch of 2 %",
        "trigger > 99 %, clean unharmed",
        "success ≥ 90 %, clean drop ≤ 1 point",
        f"success {percent(rate)}, clean drop {100 * drop:.1f} points "
        f"({100 * low:.1f} to {100 * high:.1f})",
        interval(verdict.metrics, "attack_success_rate"),
        rate >= 0.9 and drop <= 0.01,
        lab.setting("cnn-learner", more=f"10 seeds; this line: {examples} examples"),
    )
    return [line]


def replay(lab: Laboratory) -> list[Line]:
    """Noise forgets the mistakes of an attack that does not choose, and none that is chosen."""
    radius = 0.1
    rounds: dict[str, Any] = {"game": GameName.REPLAY, "epsilons": (radius,)}
    found = {
        (attack, defense): lab.play(attack, defense, **rounds).metrics
        for defense in ("cnn", "noisy-input")
        for attack in ("pgd", "replay")
    }
    again = {pair: figure(metrics, "wrong_again") for pair, metrics in found.items()}
    kept = figure(found["pgd", "noisy-input"], "repeatability")
    lost = figure(found["pgd", "noisy-input"], "replay_loss")
    return [
        Line(
            "A11",
            f"Replay of one mistake, ε {radius:g}, N 100",
            "N P(wrong again)",
            "P ≥ .95 on the CNN and on noisy input",
            ", ".join(f"{d} {percent(again['replay', d])}" for d in ("cnn", "noisy-input")),
            interval(found["replay", "noisy-input"], "wrong_again"),
            min(again["replay", d] for d in ("cnn", "noisy-input")) >= 0.95,
            lab.setting("noisy-input", more="white"),
        ),
        Line(
            "D14",
            f"Noisy input, PGD's mistakes played again, ε {radius:g}",
            "repeats 1.0 to .92",
            "P below the CNN's, intervals apart",
            f"CNN {percent(again['pgd', 'cnn'])}, noisy {percent(again['pgd', 'noisy-input'])} "
            f"(N P = {lost:.0f}); wrong again given wrong {kept:.2f}",
            interval(found["pgd", "noisy-input"], "wrong_again"),
            interval(found["pgd", "noisy-input"], "wrong_again")[1]
            < interval(found["pgd", "cnn"], "wrong_again")[0],
            lab.setting("noisy-input", more="white"),
        ),
    ]


def attacker_first(lab: Laboratory) -> list[Line]:
    """A learner that was trained on what was published knows fresh examples of the same attack."""
    radius = 0.2
    model = threat_model_for(GameName.ATTACKER_FIRST, ThreatModel.white())
    lines = []
    for learner in ("logistic-learner", "cnn-learner"):
        found = lab.play(
            "pgd",
            learner,
            game=GameName.ATTACKER_FIRST,
            threat_model=model,
            epsilons=(radius,),
            published=400,
        ).metrics
        fresh, before = (figure(found, name) for name in ("fresh_error", "unprepared_error"))
        gain = interval(found, "prepared_gain")
        lines.append(
            Line(
                "S1",
                f"Attacker first, PGD ε {radius:g}, 400 published, {learner}",
                "a fixed attack is learned",
                "fresh error falls, interval above 0",
                f"fresh {percent(before)} to {percent(fresh)}, clean "
                f"{percent(figure(found, 'clean_accuracy'))}",
                gain,
                gain[0] > 0,
                lab.setting("cnn", more=f"crafted on it; {learner}, 5 seeds; interval of the gain"),
            )
        )
    return lines


def trends(lab: Laboratory) -> list[Line]:
    """The closed form levels every line of least squares; robust lines withstand a few points."""
    task = "ice-cover"
    model = threat_model_for(GameName.TREND_POISONING, ThreatModel.white())
    rounds: dict[str, Any] = {
        "game": GameName.TREND_POISONING,
        "threat_model": model,
        "task": task,
    }
    level = lab.play("level-trend", "ols-trend", norm=Norm.L2, epsilons=(1.0,), **rounds)
    assert level.outcome is not None
    columns = level.outcome.columns
    spans = _squares(task)
    exact = np.abs(columns["ols_slope"]) * spans[columns["example"]]
    off = float(np.abs(columns["l2"] - exact).max())
    rise = float(np.abs(columns["rise_changed"]).max())
    learners = ("ols-trend", "theil-sen-trend", "huber-trend")
    few = {
        learner: lab.play("few-points", learner, norm=Norm.L0, epsilons=(5.0,), **rounds).metrics
        for learner in learners
    }
    kept = {learner: figure(found, "trend_kept") for learner, found in few.items()}
    return [
        Line(
            "T1",
            "Level the trend, L2, least squares",
            "|b| ‖t - mean t‖, closed form",
            "rise and distance within 1e-6",
            f"largest rise left {rise:.1e}, distance off by {off:.1e}",
            None,
            rise <= 1e-6 and off <= 1e-6,
            lab.setting("ols-trend", task=task, more="synthetic series"),
        ),
        Line(
            "T1",
            "A few points, L0 ≤ 5 of 80",
            "Theil-Sen: 29 % of points",
            "kept: robust lines ≥ 95 %, least squares ≤ 10 %",
            ", ".join(f"{learner} {percent(p)}" for learner, p in kept.items()),
            interval(few["theil-sen-trend"], "trend_kept"),
            kept["ols-trend"] <= 0.1 and min(kept["theil-sen-trend"], kept["huber-trend"]) >= 0.95,
            lab.setting("theil-sen-trend", task=task, more="synthetic series"),
        ),
    ]


def _squares(task: str) -> NDArray[np.float64]:
    """‖t - mean t‖ of each practice series, by its number."""
    x = tasks.load(task).practice.x
    times = [x[x[:, 1] == name, 0].astype(np.float64) for name in np.unique(x[:, 1])]
    return np.array([np.linalg.norm(t - t.mean()) for t in times])


def good_words(lab: Laboratory) -> list[Line]:
    """Lowd & Meek 2005: half of blocked spam passes, with 150 words or with probes and 30."""
    lines = []
    for filter_ in ("naive-bayes", "logistic-regression"):
        for way, (words, _) in WAYS.items():
            metrics = _padded(lab, filter_, way).metrics
            passed = figure(metrics, "attack_success_rate")
            lines.append(
                Line(
                    "A8",
                    f"Good words, {way}, {words} words, {filter_}",
                    f"half at {words}",
                    "≥ 50 % of blocked spam passes",
                    f"{percent(passed)}, {_median(metrics)}; "
                    f"random words {percent(figure(metrics, 'noise_success_rate'))}",
                    interval(metrics, "attack_success_rate"),
                    passed >= 0.5,
                    lab.setting(filter_, task=MAILS),
                )
            )
    return [*lines, _sturdier(lab)]


def _sturdier(lab: Laboratory) -> Line:
    """Training against added words is worth something where few are allowed."""
    way = next(reversed(WAYS))
    found = {
        filter_: _padded(lab, filter_, way).metrics
        for filter_ in ("logistic-regression", "word-insertion-training")
    }
    plain, sturdy = (figure(metrics, "attack_success_rate") for metrics in found.values())
    metrics = found["word-insertion-training"]
    return Line(
        "A8",
        f"Good words, {way}, {WAYS[way][0]} words, word-insertion-training",
        "",
        "at most half of what passes logistic regression",
        f"{percent(sturdy)} of {percent(plain)}, {_median(metrics)}",
        interval(metrics, "attack_success_rate"),
        sturdy <= plain / 2,
        lab.setting("word-insertion-training", task=MAILS),
    )


def _padded(lab: Laboratory, filter_: str, way: str) -> Verdict:
    words, model = WAYS[way]
    return lab.play(
        "good-words" if model.probes.none else "good-words-by-probes",
        filter_,
        task=MAILS,
        game=GameName.GOOD_WORDS,
        norm=Norm.L0,
        epsilons=tuple(float(e) for e in (10, 30, 100, 150) if e <= words),
        threat_model=model,
    )


def _median(metrics: Mapping[str, float | None]) -> str:
    median = metrics["median_words"]
    return "more than half held" if median is None else f"median {median:.0f} words"
