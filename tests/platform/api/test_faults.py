"""Mallory's uploads go wrong in every way; the fault is hers, and nobody else's row moves.

Real packages through the real referee and jail, from the entry to the boards.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest
from django.conf import settings as django_settings

from arena.rounds import GameName, Limits, RoundSpec
from arena.threat_model import ThreatModel
from leaderboard.services import fold_all
from submissions import services as submissions
from submissions.models import Submission
from submissions.states import SubmissionState
from tournaments import claims, running
from tournaments import services as tournaments
from tournaments.models import Match, Tournament
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import Phase

pytestmark = [pytest.mark.slow, pytest.mark.jail, pytest.mark.django_db(transaction=True)]

EXAMPLES = 30
MANIFEST = """
schema_version = 1
name = "{name}"
role = "{role}"
tasks = ["digits"]
entry = "player.py:Player"
"""
HONEST_DEFENSE = """
import numpy as np
from arena.players import Defense

class Player(Defense):
    def load(self):
        with np.load(self.package / "centres.npz") as data:
            self.centres = data["c"]

    def predict(self, x):
        x = x.reshape(len(x), -1)
        scores = -((x[:, None] - self.centres[None]) ** 2).sum(2)
        {then}
"""
HONEST_ATTACK = """
import numpy as np
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        rng, best = challenge.rng(), challenge.x.copy()
        for _ in range(8):
            step = challenge.epsilon * rng.choice([-1.0, 1.0], challenge.x.shape)
            x = challenge.clip(challenge.x + step)
            wrong = challenge.defense.ask(x).argmax(1) != challenge.y
            best[wrong] = x[wrong]
        return best
"""
ATTACKING = """
import numpy as np
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        {body}
"""
ANSWERS = "return scores.astype(np.float32)"


def zipped(name: str, role: str, **files: str | bytes) -> bytes:
    files = {"manifest.toml": MANIFEST.format(name=name, role=role)} | {
        key.replace("_py", ".py").replace("_npz", ".npz"): value for key, value in files.items()
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file, content in files.items():
            archive.writestr(zipfile.ZipInfo(file), content)
    return buffer.getvalue()


def centres() -> bytes:
    """Class means of the training split: the nearest one is right on nine digits of ten."""
    import numpy as np

    from arena import tasks

    train = tasks.load("digits").train
    x = train.x.reshape(len(train.x), -1)
    buffer = io.BytesIO()
    np.savez(buffer, c=np.stack([x[train.y == label].mean(axis=0) for label in range(10)]))
    return buffer.getvalue()


def enters(bot: Any, cup: Tournament, archive: bytes) -> Any:
    """Qualified by decree: qualification would have refused what is tried here."""
    sent = submissions.submit(team=bot.team, user=bot.user, archive=io.BytesIO(archive)).submission
    Submission.objects.filter(pk=sent.pk).update(state=SubmissionState.QUALIFIED)
    sent.refresh_from_db()
    return tournaments.enter(tournament=cup, submission=sent, user=bot.user)


def attack(name: str, code: str) -> bytes:
    return zipped(name, "attack", player_py=code)


def defense(name: str, then: str) -> bytes:
    code = HONEST_DEFENSE.format(then=then)
    return zipped(name, "defense", player_py=code, centres_npz=centres())


def plays_all() -> None:
    while (match := claims.claim(worker="test")) is not None:
        running.play(match)
    fold_all()


@pytest.fixture
def cup(oscar: Any) -> Tournament:
    clock = Limits(wall_seconds=6, cpu_seconds=6)
    spec = RoundSpec(
        GameName.EVASION,
        "digits",
        ThreatModel.black(queries=8),
        epsilons=(0.3,),
        examples=EXAMPLES,
        attack_limits=clock,
        defense_limits=clock,
    )
    plan = TournamentPlan("Cup", "digits", (RoundPlan("Black", spec),), slug="cup")
    made = tournaments.create(plan, organizer=oscar.user)
    # Always the same examples: with others Dana may fall below the floor, and no attack counts.
    Tournament.objects.filter(pk=made.pk).update(secret=bytes(range(32)))
    made.rounds.update(secret=bytes(range(32)))
    made.refresh_from_db()
    return tournaments.move(tournament=made, to=Phase.OPEN, organizer=oscar.user)


COUNTS = ("pool_met", "pool_applicable")


def assert_same(after: Mapping[str, Any], before: Mapping[str, Any], but: Any = ()) -> None:
    """All figures, to the rounding of a sum in another order; not how many were met."""
    left_out = {*COUNTS, *but}
    assert flat(after, left_out) == pytest.approx(flat(before, left_out), nan_ok=True)


def flat(row: Any, left_out: Any, name: str = "") -> dict[str, Any]:
    if isinstance(row, dict):
        parts = [flat(row[key], left_out, f"{name}.{key}") for key in row if key not in left_out]
    elif isinstance(row, list):
        parts = [flat(value, left_out, f"{name}.{i}") for i, value in enumerate(row)]
    else:
        return {name: row}
    return {key: value for part in parts for key, value in part.items()}


def rows(bot: Any) -> Mapping[str, Mapping[str, Any]]:
    """Name -> what its row says of how good it is; how many it has met is another matter."""
    boards = bot.get("tournaments/cup/standings/").json()["boards"]
    told = ("headline", "interval_low", "interval_high", "clean_accuracy", "below_floor", "metrics")
    return {
        row["entry"]["name"]: {key: row[key] for key in told} for b in boards for row in b["rows"]
    }


FAULTS = {
    "crash": ("attack", "raise ValueError('as I please')", "crashed"),
    "hang": ("attack", "while True: pass", "wall_time"),
    "too many queries": (
        "attack", "while True: challenge.defense.ask(challenge.x)", "queries_exceeded",
    ),
    "NaN": ("defense", "return np.full((len(x), 10), np.nan, np.float32)", "not_finite"),
    "wrong shape": ("defense", "return scores.astype(np.float32)[:, :7]", "wrong_shape"),
}  # fmt: skip


@pytest.mark.parametrize("way", FAULTS)
def test_the_fault_is_hers_and_the_other_rows_stay(
    way: str, cup: Tournament, alice: Any, dana: Any, mallory: Any
) -> None:
    side, body, code = FAULTS[way]
    enters(alice, cup, attack("Spear", HONEST_ATTACK))
    enters(dana, cup, defense("Wall", ANSWERS))
    plays_all()
    before = rows(alice)
    assert 0 < before["Spear"]["headline"] < 1
    assert 0 < before["Wall"]["headline"] < before["Wall"]["clean_accuracy"]

    bad = attack("Bad", ATTACKING.format(body=body)) if side == "attack" else defense("Bad", body)
    entry = enters(mallory, cup, bad)
    plays_all()
    match = Match.objects.select_related("verdict").get(**{side: entry})
    assert match.state == "forfeit", match.sentence
    assert (match.verdict.fault_side, match.verdict.fault_code) == (side, code)
    assert match.verdict.fault_sentence.endswith(".")
    told = mallory.get(f"matches/{match.uid}/").json()
    assert told["verdict"]["fault"] == {"side": side, "code": code}
    assert told["fault_sentence"].endswith(".")
    after = rows(alice)
    assert_same(after["Spear"], before["Spear"])
    assert_same(after["Wall"], before["Wall"])
    hers = after["Bad"]
    assert not hers["headline"]  # broke nothing, or was right on nothing
    page = alice.client.get("/tournaments/cup/").content.decode()
    assert f"forfeit by the {side}" in page


def test_examples_out_of_budget_are_rejected_and_break_nothing(
    cup: Tournament, alice: Any, dana: Any, mallory: Any
) -> None:
    """No forfeit: each candidate goes back to the clean example, and is counted."""
    enters(alice, cup, attack("Spear", HONEST_ATTACK))
    enters(dana, cup, defense("Wall", ANSWERS))
    plays_all()
    before = rows(alice)
    entry = enters(mallory, cup, attack("Bad", ATTACKING.format(body="return 1 - challenge.x")))
    plays_all()
    match = Match.objects.select_related("verdict").get(attack=entry)
    assert match.state == "scored", match.sentence
    assert match.verdict.metrics["rejected"] == EXAMPLES
    assert match.verdict.metrics["attack_success_rate"] == 0
    after = rows(alice)
    assert after["Bad"]["headline"] == 0
    assert_same(after["Spear"], before["Spear"])
    assert_same(after["Wall"], before["Wall"], but=("robust_mean",))  # an attack that failed fairly
    outcome = django_settings.DATA / match.verdict.files / "outcome.parquet"
    import pyarrow.parquet as pq

    assert set(pq.read_table(outcome)["rejected"].to_pylist()) == {"over_budget"}
