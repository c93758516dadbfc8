"""Good words: Alice pads spam until Dana's filter lets it pass; nothing is ever taken out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arena.applicability import applicability
from arena.errors import ThreatModelError
from arena.rounds import GameName, Goal, Norm, norm_for
from arena.tasks import Split, Task
from arena.tasks.fitting import misfit, usual_task, usual_task_of
from arena.tasks.split import Splits
from arena.threat_model import Probes, ThreatModel, TrainingData, TrainingDataKind
from arena.verdict import Kills, Status, Verdict
from tests.arena.fakes import Fakes, differentiable, leave_alone, package, play, spec, toy_task

Array = NDArray[Any]
SPAMMY, GOOD, WORDS = slice(0, 4), slice(4, 8), 12
HAM, SPAM = 0, 1


def mails(**rules: Any) -> Task:
    """Four spammy words, four good ones and four that say nothing; spam has more spammy ones."""
    stream = np.random.default_rng(3)

    def split(name: str, rows: int) -> Split:
        x = (stream.random((rows, WORDS)) < 0.4).astype(np.float32)
        return Split(name, x, (margin(x) > 0).astype(np.int64))

    splits = Splits(split("train", 80), split("practice", 200))
    values: dict[str, Any] = {
        "shape": (WORDS,),
        "classes": ("ham", "spam"),
        "norms": {"l0": (1, 2, 4)},
        "grid": 2,
        "add_only": np.ones(WORDS, bool),
        "attacker_class": SPAM,
    }
    return replace(toy_task(), **(values | rules), read=lambda: splits)


def margin(x: Array) -> Array:
    """(n,) spammy words less good ones: so many good words must be added before spam passes."""
    return np.asarray(x[:, SPAMMY].sum(axis=1) - x[:, GOOD].sum(axis=1))


class Filter:
    """Blocks a mail with more spammy words than good ones: the very rule of the task."""

    def predict(self, x: Array, seeds: Array) -> Array:
        spam = margin(x) - 0.5
        return np.stack([-spam, spam], axis=1).astype(np.float32)

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        return self.predict(x, seeds), np.zeros_like(x)


class BlocksAll(Filter):
    def predict(self, x: Array, seeds: Array) -> Array:
        return np.tile(np.array([[-1.0, 1.0]], np.float32), (len(x), 1))


def good_words(c: Any) -> Array:
    """Adds the first good words that a mail lacks, as many as allowed."""
    x = c.x.copy()
    for row in x:
        lacking = [word for word in range(4, 8) if row[word] == 0]
        row[lacking[: int(c.epsilon)]] = 1
    return x


def padded(attack: Any = good_words, defense: Any = Filter, **rules: Any) -> Verdict:
    values = {"game": GameName.GOOD_WORDS, "norm": Norm.L0, "epsilons": (1.0, 2.0, 4.0), **rules}
    return play(Fakes(attack, defense), spec(**values), defense=differentiable(), task=mails())


def judged(verdict: Verdict) -> tuple[Array, Array]:
    """The judged mails and their labels, in the order of the bits."""
    assert verdict.kills is not None
    practice = mails().practice
    return practice.x[verdict.kills.examples], practice.y[verdict.kills.examples]


def test_spam_passes_where_as_many_good_words_are_allowed_as_it_is_spammy() -> None:
    verdict = padded(examples=80)
    assert verdict.status is Status.SCORED, verdict.fault
    x, y = judged(verdict)
    needed = margin(x[y == SPAM])
    for point, words in zip(verdict.curve, (1, 2, 4), strict=True):
        assert point["attack_success_rate"] == pytest.approx((needed <= words).mean())
        survivors = (y == HAM).sum() + (needed > words).sum()
        assert point["robust_accuracy"] == pytest.approx(survivors / len(y))
        assert point["robust_accuracy_any"] == point["robust_accuracy"]  # nothing is drawn
        assert point["clean_accuracy"] == 1.0
        assert point["blocked"] == 1.0
        assert point["false_alarms"] == 0.0
    assert verdict.metrics["attack_success_rate"] == 1.0


def test_median_words_is_the_smallest_budget_that_the_median_mail_needed() -> None:
    verdict = padded(examples=80)
    x, y = judged(verdict)
    needed = margin(x[y == SPAM])
    sent = np.array([next(b for b in (1, 2, 4) if b >= n) for n in needed])
    room = 4 - x[y == SPAM][:, GOOD].sum(axis=1)
    assert verdict.metrics["median_words"] == np.median(np.minimum(sent, room))


def test_only_the_attackers_mails_are_attacked_and_counted() -> None:
    fakes = Fakes(good_words, Filter)
    round_ = spec(game=GameName.GOOD_WORDS, norm=Norm.L0, epsilons=(2.0,), examples=40)
    verdict = play(fakes, round_, defense=differentiable(), task=mails())
    ((brief, arrays, _),) = fakes.handed
    assert (arrays["y"] == SPAM).all()
    assert brief["task"]["add_only"] == [True] * WORDS
    assert verdict.outcome is not None
    assert set(verdict.outcome.columns["y"].tolist()) == {SPAM}
    assert verdict.kills is not None
    assert verdict.kills.attackable is not None
    _, y = judged(verdict)
    assert (verdict.kills.attackable == (y == SPAM)).all()
    assert not verdict.kills.broken[:, y == HAM].any()
    assert verdict.kills.at_stake.sum() == (y == SPAM).sum()


def test_bits_of_who_was_attacked_survive_their_storage() -> None:
    verdict = padded()
    assert verdict.kills is not None
    again = Kills.from_json(verdict.kills.to_json())
    assert again.attackable is not None
    assert (again.attackable == verdict.kills.attackable).all()
    assert (again.at_stake == verdict.kills.at_stake).all()


def test_a_filter_that_blocks_every_mail_has_no_clean_accuracy_to_hide_behind() -> None:
    verdict = padded(defense=BlocksAll, examples=80)
    _, y = judged(verdict)
    assert verdict.metrics["attack_success_rate"] == 0.0
    assert verdict.metrics["blocked"] == 1.0
    assert verdict.metrics["false_alarms"] == 1.0
    assert verdict.metrics["clean_accuracy"] == pytest.approx((y == SPAM).mean())


def test_a_word_that_is_taken_out_or_one_too_many_is_no_kill() -> None:
    def cheats(c: Any) -> Array:
        x = c.x.copy()
        x[::2, SPAMMY] = 0  # takes words out
        x[1::2] = 1  # adds them all
        return x

    verdict = padded(cheats, epsilons=(2.0,), examples=60)
    assert verdict.outcome is not None
    reasons = set(verdict.outcome.columns["rejected"].tolist())
    assert reasons == {"add_only_feature_lowered", "over_budget"}
    assert verdict.metrics["attack_success_rate"] == 0.0
    assert verdict.metrics["rejected"] == len(verdict.outcome)


def test_half_a_word_is_none() -> None:
    def halves(c: Any) -> Array:
        return np.where(good_words(c) > c.x, np.float32(0.9), c.x)

    verdict = padded(halves, epsilons=(4.0,))
    assert verdict.metrics["attack_success_rate"] == 0.0
    assert verdict.metrics["rejected"] == 0


def test_random_words_are_judged_beside_it() -> None:
    verdict = padded(examples=80)
    noise = [point["noise_success_rate"] for point in verdict.curve]
    rates = [point["attack_success_rate"] for point in verdict.curve]
    assert all(n is not None and r is not None and n < r for n, r in zip(noise, rates, strict=True))
    assert max(n for n in noise if n is not None) > 0


def test_passive_rounds_start_no_filter_for_the_attack_and_rounds_with_probes_do() -> None:
    asked: list[int] = []

    def asks(c: Any) -> Array:
        asked.append(len(c.defense.ask(c.x)))
        return good_words(c)

    black = replace(
        ThreatModel.black(),
        probes=Probes(per_example=3),
        training_data=TrainingData(TrainingDataKind.SAMPLES, 30),
    )
    assert padded(asks, model=black).metrics["queries"] == asked[-1] > 0
    passive = Fakes(good_words, Filter)
    round_ = spec(ThreatModel.transfer(), game=GameName.GOOD_WORDS, norm=Norm.L0, epsilons=(2.0,))
    verdict = play(passive, round_, defense=differentiable(), task=mails())
    assert verdict.metrics["queries"] == 0
    assert len(passive.opened) == 4  # two judges, and two for the control


def test_what_mistakes_cost_is_told_over_all_mails() -> None:
    cost = np.array([[0.0, 5.0], [1.0, 0.0]])
    round_ = spec(game=GameName.GOOD_WORDS, norm=Norm.L0, epsilons=(4.0,), examples=40)
    fakes = Fakes(leave_alone, BlocksAll)
    verdict = play(fakes, round_, defense=differentiable(), task=mails(cost=cost))
    _, y = judged(verdict)
    assert verdict.metrics["clean_value_loss"] == pytest.approx(5 * (y == HAM).mean())
    assert verdict.metrics["value_loss"] == pytest.approx(5 * (y == HAM).mean())
    passes = play(
        Fakes(good_words, Filter), round_, defense=differentiable(), task=mails(cost=cost)
    )
    assert passes.metrics["clean_value_loss"] == 0.0
    assert passes.metrics["value_loss"] == pytest.approx((y == SPAM).mean())


# ── the round and its task ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"norm": Norm.LINF}, "Good words are counted"),
        ({"epsilons": ()}, "at least one epsilon"),
        ({"epsilons": (2.5,)}, "give whole numbers"),
        ({"goal": Goal.TARGETED}, "Spam passes or it does not"),
    ],
)
def test_a_round_that_makes_no_sense_is_refused(rules: Any, sentence: str) -> None:
    values = {"norm": Norm.L0, "epsilons": (3.0,), **rules}
    with pytest.raises(ThreatModelError, match=sentence):
        spec(game=GameName.GOOD_WORDS, **values)


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"attacker_class": None}, "class that attackers own"),
        ({"add_only": None}, "no feature of the task toy is add-only"),
    ],
)
def test_a_task_without_words_is_told_so(rules: Any, sentence: str) -> None:
    round_ = spec(game=GameName.GOOD_WORDS, norm=Norm.L0, epsilons=(2.0,))
    verdict = play(Fakes(leave_alone, Filter), round_, task=mails(**rules))
    assert verdict.status is Status.VOID
    assert verdict.fault is not None
    assert sentence in verdict.fault.sentence
    assert misfit(mails(**rules), round_.game) == verdict.fault.sentence


def test_more_words_than_there_are_fit_no_task() -> None:
    assert "12 words" in str(misfit(mails(), GameName.GOOD_WORDS, largest=13))
    assert misfit(mails(), GameName.GOOD_WORDS, largest=12) is None
    assert misfit(toy_task(), GameName.EVASION) is None
    round_ = spec(game=GameName.GOOD_WORDS, norm=Norm.L0, epsilons=(13.0,))
    assert play(Fakes(leave_alone, Filter), round_, task=mails()).status is Status.VOID


def test_words_are_counted_whatever_norm_is_usual() -> None:
    assert norm_for("good_words", "linf") == "l0"
    assert norm_for("evasion", "l2") == "l2"


def test_a_player_of_good_words_alone_is_tried_on_mails() -> None:
    attack = package("attack").manifest
    assert usual_task(attack.role, ("good_words",)) == "spamassassin-words"
    assert usual_task(attack.role, ("good_words", "evasion")) == "mnist5k"
    assert usual_task(attack.role, ()) == "mnist5k"
    assert usual_task(package("poisoner").manifest.role, ()) == "mnist-1-7"
    assert usual_task_of("good_words") == "spamassassin-words"
    assert usual_task_of("trend_poisoning") == "ice-cover"
    assert usual_task_of("backdoor") == "mnist-1-7"
    assert usual_task_of(None) == "mnist5k"


def test_what_plays_evasion_in_l0_plays_good_words() -> None:
    defense = differentiable().manifest
    round_ = spec(game=GameName.GOOD_WORDS, norm=Norm.L0, epsilons=(2.0,))

    def reason(**needs: Any) -> str | None:
        return applicability(package("attack", needs=needs).manifest, defense, round_)

    assert reason() is None
    assert reason(games=["evasion"]) is None
    assert reason(games=["good_words"]) is None
    assert reason(games=["extraction"]) is not None
    assert reason(norms=["l2"]) is not None


def test_the_rules_explain_every_metric() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    verdict = padded()
    names = {
        re.sub(r"_(low|high)$", "", n) for each in (verdict.metrics, *verdict.curve) for n in each
    }
    assert names <= explained
