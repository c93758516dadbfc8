"""Mallory steals, certifies and moves against the rules, in real jails; nobody else pays."""

from __future__ import annotations

import io

import numpy as np
import pytest

from arena import house, tasks
from arena.errors import FaultCode, Side
from arena.packages import Package
from arena.rounds import GameName, Norm
from arena.sandbox.backend import SandboxBackend
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.cheats import blamed, play, player

pytestmark = [pytest.mark.jail, pytest.mark.slow]


# ── thieves ────────────────────────────────────────────────────────────────────────────────

HANDS_IN = """
    def steal(self, c):
        import io, zipfile
        manifest = b'''schema_version = 1
name = "Stolen"
role = "defense"
entry = "player.py:Copy"
'''
        code = b'''
import numpy as np
import arena.players
class Copy(arena.players.Defense):
    def predict(self, x):
        {predict}
'''
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("manifest.toml", manifest)
            archive.writestr("player.py", code)
            {more}
        service._zipped = lambda surrogate: buffer.getvalue(){tail}
        return Surrogate({{}})
"""


def thief(
    *, more: str = "pass", predict: str = "return np.zeros((len(x), 10))", tail: str = ""
) -> Package:
    return player("thief", "Thief", HANDS_IN.format(more=more, predict=predict, tail=tail))


def rob(backend: SandboxBackend, attack: Package) -> Verdict:
    model = ThreatModel.black(queries=8)
    return play(
        backend, GameName.EXTRACTION, attack, house.package("logistic-regression", "digits"),
        threat_model=model,
    )  # fmt: skip


COPIES = {
    "a bomb by ratio": thief(more='archive.writestr("zeros", bytes(2**28))'),
    "a bomb by count": thief(more='[archive.writestr(f"f{i}", b"") for i in range(20_000)]'),
    "a path out of it": thief(more='archive.writestr("../../etc/passwd", b"root")'),
    "a path from the root": thief(more='archive.writestr("/tmp/stolen", b"x")'),
    "a link": thief(
        more='link = zipfile.ZipInfo("link"); link.external_attr = 0o120777 << 16; '
        'archive.writestr(link, "/etc/passwd")'
    ),
    "one byte more than may be sent": thief(
        tail=' + bytes(__import__("arena.wire").wire.MAX_SURROGATE)'
    ),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_that_no_upload_could_be_is_the_thiefs_fault(
    backend: SandboxBackend, name: str
) -> None:
    verdict = rob(backend, COPIES[name])
    assert blamed(verdict) == (Side.ATTACK, FaultCode.BAD_SURROGATE)
    assert verdict.metrics["fidelity"] == 0.0


@pytest.mark.parametrize(
    "predict",
    ["return np.full((len(x), 10), np.nan)", "return np.zeros((2**31, 10), np.int8)", "1 / 0"],
)
def test_a_copy_that_answers_nonsense_agrees_with_nothing(
    backend: SandboxBackend, predict: str
) -> None:
    verdict = rob(backend, thief(predict=predict))
    assert blamed(verdict)[0] is Side.ATTACK
    assert verdict.metrics["fidelity"] == 0.0
    assert verdict.metrics["clean_accuracy"] > 0.8  # type: ignore[operator]


# ── certificates ───────────────────────────────────────────────────────────────────────────

STEP = """
    def attack(self, c):
        flat = -np.sign(c.x - 0.5)
        return c.clip(c.x + c.epsilon / 8 * flat)
"""
CERTIFIER = """
    def load(self):
        train = np.load(self.package / "means.npy")
        self.means = train

    def predict(self, x):
        return x.reshape(len(x), -1) @ self.means.T - (self.means ** 2).sum(axis=1) / 2

    def certify(self, x, norm, *, effort, seeds):
        labels = self.predict(x).argmax(axis=1)
        return {claim}
"""


def certifier(claim: str, *more: str) -> Package:
    """``more``: lines of its manifest."""
    train = tasks.load("digits").train
    flat = train.x.reshape(len(train), -1)
    means = np.stack([flat[train.y == k].mean(axis=0) for k in range(10)])
    buffer = io.BytesIO()
    np.save(buffer, means)
    made = player(
        "defense", "Defense", CERTIFIER.format(claim=claim), lines=['certifies = ["l2"]', *more]
    )
    return Package.of({**made.files, "means.npy": buffer.getvalue()})


def certified(backend: SandboxBackend, claim: str, *more: str) -> Verdict:
    attack = player("attack", "EvasionAttack", STEP)
    return play(
        backend, GameName.CERTIFICATION, attack, certifier(claim, *more),
        norm=Norm.L2, epsilons=(0.5, 4.0), threat_model=ThreatModel.black(4),
    )  # fmt: skip


@pytest.mark.parametrize("radius", ["np.inf", "np.nan", "1e39"])
def test_a_radius_that_is_no_number_certifies_nothing(backend: SandboxBackend, radius: str) -> None:
    verdict = certified(backend, f"labels, np.full(len(x), {radius})")
    assert blamed(verdict) == (Side.DEFENSE, FaultCode.NOT_FINITE)
    assert verdict.metrics["claims"] == 0
    assert verdict.metrics["certified_accuracy"] == 0.0


@pytest.mark.parametrize(
    "claim",
    ["labels, np.full(len(x), 3e38)", "(labels + 1) % 10, np.full(len(x), 1.0)"],
    ids=["the whole cube", "another label than the answer"],
)
def test_a_claim_that_is_refuted_breaks_the_certificate(
    backend: SandboxBackend, claim: str
) -> None:
    verdict = certified(backend, claim)
    assert verdict.status is Status.SCORED, (verdict.fault, verdict.logs)
    assert verdict.metrics["certificate_broken"] == 1.0
    assert verdict.metrics["certified_accuracy"] == 0.0


def test_a_claim_that_is_taken_back_when_it_is_looked_at_breaks_the_certificate(
    backend: SandboxBackend,
) -> None:
    claim = "np.where(effort > 1, -1, labels), np.full(len(x), 9.0)"
    verdict = certified(backend, claim, "alpha = 0.001")
    assert verdict.status is Status.SCORED, (verdict.fault, verdict.logs)
    assert verdict.metrics["certificate_broken"] == 1.0
    assert verdict.metrics["certified_accuracy"] == 0.0


# ── moves, patches and words ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("norm", "epsilon", "candidates", "reason"),
    [
        (Norm.SPATIAL, 10.0, "np.full((len(c.x), 3), [11, 0, 0])", "over_budget"),
        (Norm.SPATIAL, 10.0, "np.full((len(c.x), 3), [0, 0, 9])", "over_budget"),
        (Norm.SPATIAL, 10.0, "np.full((len(c.x), 3), np.nan)", "not_finite"),
        (Norm.SPATIAL, 10.0, "np.full((len(c.x), 3), -np.inf)", "not_finite"),
        (Norm.CORRUPTION, 3.0, "np.full((len(c.x), 2), [0, 4])", "over_budget"),
        (Norm.CORRUPTION, 3.0, "np.full((len(c.x), 2), [99, 1])", "out_of_range"),
        (Norm.CORRUPTION, 3.0, "np.full((len(c.x), 2), [0, 1.5])", "out_of_range"),
        (Norm.CORRUPTION, 3.0, "np.full((len(c.x), 2), [0, np.nan])", "not_finite"),
        (Norm.PATCH, 0.1, "1 - c.x", "over_budget"),
        (Norm.PATCH, 0.1, "np.where(c.x < 2, np.nan, 0)", "not_finite"),
        (Norm.PATCH, 0.1, "c.x + 1.5", "out_of_range"),
    ],
)  # fmt: skip
def test_candidates_out_of_bounds_stay_clean(
    backend: SandboxBackend, norm: Norm, epsilon: float, candidates: str, reason: str
) -> None:
    body = f"    def attack(self, c):\n        return {candidates}\n"
    attack = player("attack", "EvasionAttack", body, norms=[norm.value])
    verdict = play(
        backend, GameName.EVASION, attack, house.package("logistic-regression", "digits"),
        norm=norm, epsilons=(epsilon,), threat_model=ThreatModel.black(4),
    )  # fmt: skip
    assert verdict.status is Status.SCORED, (verdict.fault, verdict.logs)
    assert verdict.outcome is not None
    assert set(verdict.outcome.columns["rejected"]) == {reason}
    assert verdict.metrics["attack_success_rate"] == 0.0


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        ("np.zeros_like(c.x)", "add_only_feature_lowered"),
        ("np.ones_like(c.x)", "over_budget"),
        ("np.where(c.x == 0, 0.3, c.x)", ""),
        ("c.x * np.nan", "not_finite"),
    ],
)  # fmt: skip
def test_words_that_are_taken_out_or_too_many_pass_no_filter(
    backend: SandboxBackend, candidates: str, reason: str
) -> None:
    body = f"    def attack(self, c):\n        return {candidates}\n"
    attack = player("attack", "EvasionAttack", body, norms=["l0"])
    defense = house.package("naive-bayes", "spamassassin-words")
    verdict = play(
        backend, GameName.GOOD_WORDS, attack, defense,
        task="spamassassin-words", norm=Norm.L0, epsilons=(5.0,),
    )  # fmt: skip
    assert verdict.status is Status.SCORED, (verdict.fault, verdict.logs)
    assert verdict.outcome is not None
    attacked = verdict.outcome.columns["y"] == 1
    assert set(verdict.outcome.columns["rejected"][attacked]) == {reason}
    assert verdict.metrics["attack_success_rate"] == 0.0
