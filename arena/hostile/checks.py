"""What must be true after a hostile match, beside its end: checks that a case asks for by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from arena.errors import Side
from arena.hostile.cases import Case
from arena.ranking.records import Player
from arena.rounds import RoundSpec
from arena.verdict import Verdict

MOST_MIB: Final = 64
"""How much a reply may make the referee hold; what is claimed is two hundred times that."""


@dataclass(frozen=True)
class Played:
    """A match with a case on ``side``. ``honest``: of the same round, with two honest players.

    ``grown_mib``: by how much the referee's largest size grew.
    """

    case: Case
    side: Side
    round: RoundSpec
    verdict: Verdict
    honest: Verdict
    grown_mib: float


def gained(played: Played) -> Iterator[str]:
    """An attack gets no kill, a defense no robustness that its honest twin would not get."""
    kills, honest = played.verdict.kills, played.honest.kills
    if kills is None or honest is None:
        yield "nothing was scored: the verdict has no kills"
        return
    if played.side is Side.ATTACK:
        if kills.broken.any() and not played.case.may_kill:
            yield f"it broke {int(kills.broken.sum())} examples"
        if (kills.clean_right != honest.clean_right).any():
            yield "it changed the defense's clean accuracy"
        return
    robust = kills.clean_right & ~kills.broken[-1]
    if (robust & ~(honest.clean_right & ~honest.broken[-1])).any():
        yield "it is robust where its honest twin is not"


def all_rejected(played: Played) -> Iterator[str]:
    """Every candidate of an attack was rejected; a defense has none."""
    if played.side is Side.ATTACK:
        rejected = played.verdict.metrics.get("rejected")
        if rejected != played.round.examples:
            yield f"{rejected} of {played.round.examples} candidates were rejected"


def within_budget(played: Played) -> Iterator[str]:
    outcome, granted = played.verdict.outcome, played.round.threat_model.probes
    if outcome is None or granted.per_example is None:
        yield "nothing says how many queries were charged"
        return
    if (outcome.columns["queries"] > granted.per_example).any():
        yield f"more than {granted.per_example} queries were charged to one example"


def log_is_capped(played: Played) -> Iterator[str]:
    limits = (
        played.round.attack_limits if played.side is Side.ATTACK else played.round.defense_limits
    )
    processes = 1 if played.side is Side.ATTACK else 3
    most = processes * (limits.log_kib * 1024 * 4 + 1024)  # a spelled-out byte takes four letters
    length = len(played.verdict.logs[played.side.value])
    if length > most:
        yield f"its log has {length:,} characters"


def log_is_plain(played: Played) -> Iterator[str]:
    log = played.verdict.logs[played.side.value]
    odd = {c for c in log if not c.isprintable()} - {"\n", "\t"}
    if odd:
        yield f"its log holds {sorted(odd)!r}"


def referee_stays_small(played: Played) -> Iterator[str]:
    if played.grown_mib > MOST_MIB:
        yield f"the referee grew by {played.grown_mib:.0f} MiB"


def friends_do_not_score(_played: Played) -> Iterator[str]:
    """What two players of one team agree on is left out of the attack's score."""
    attack = Player("trigger-attack", team="mallory", side=Side.ATTACK)
    own = Player("trigger-defense", team="mallory", side=Side.DEFENSE)
    ally = Player("other", team="trudy", side=Side.DEFENSE, allies=frozenset({"mallory"}))
    for friend in (own, ally):
        if attack.may_score_on(friend):
            yield f"an attack scores on {friend.id} of a friend"


CHECKS: Final[Mapping[str, Callable[[Played], Iterator[str]]]] = {
    check.__name__: check
    for check in (
        all_rejected,
        within_budget,
        log_is_capped,
        log_is_plain,
        referee_stays_small,
        friends_do_not_score,
    )
}
