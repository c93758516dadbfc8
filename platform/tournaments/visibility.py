"""Who may see what of a package, a log, an outcome (docs/rules.md, "Visibility").

Each question has one function; pages, API and files all ask here. A match is asked about with its
round, tournament and entries at hand (``selectors.get_match``).
"""

from __future__ import annotations

from typing import Any, Final

from accounts.selectors import Person, team_ids
from arena.errors import FaultCode, Side
from arena.rounds import RoundSpec, SplitName
from arena.threat_model import DefenseStructure, LearningAlgorithm, Parameters, Randomness
from submissions.models import Submission
from tournaments import selectors
from tournaments.models import Entry, Match, Round, Tournament
from tournaments.states import REVEALED, Phase

FAULT_SENTENCES: Final[dict[str, str]] = {
    FaultCode.LOAD_FAILED: "The player could not be loaded.",
    FaultCode.CRASHED: "The player crashed.",
    FaultCode.WALL_TIME: "The player ran out of time.",
    FaultCode.CPU_TIME: "The player ran out of processor time.",
    FaultCode.OUT_OF_MEMORY: "The player ran out of memory.",
    FaultCode.QUERY_LATENCY: "The player took too long to answer.",
    FaultCode.WRONG_SHAPE: "The player answered with the wrong shape.",
    FaultCode.NOT_FINITE: "The player answered with values that are not finite.",
    FaultCode.OUT_OF_RANGE: "The player answered with values out of range.",
    FaultCode.PROTOCOL: "The player did not keep to the protocol.",
    FaultCode.QUERIES_EXCEEDED: "The player asked more than the round grants.",
    FaultCode.ROWS_DEPEND: "The player's answers depend on other rows.",
    FaultCode.NOT_DETERMINISTIC: "The player answers the same question differently.",
    FaultCode.POISON_BUDGET: "The player broke the poisoning budget.",
    FaultCode.BAD_SURROGATE: "The thief handed in no copy that can be judged.",
    FaultCode.NO_ANSWER: "The player gave no answer.",
}


OPEN_FACTS: Final = frozenset((
    "versions", "task", "task_digest", "split", "backend", "walls", "elapsed", "seconds",
    "published", "queries", "asked", "stops",
))  # fmt: skip
"""Of a verdict's provenance, what anybody may know who may see the verdict. Not the seed, not the
hashes of packages, from which players could be told before they are revealed, and nothing of
examples. A key that is new is nobody's until it stands here."""


def may_see_tournament(user: Person, tournament: Tournament) -> bool:
    return selectors.visible_to(user).filter(pk=tournament.pk).exists()


def may_see_package(user: Person, submission: Submission) -> bool:
    """Its team and the organizers of tournaments that it is entered in. Jails ask the referee."""
    return selectors.submissions_visible_to(user).filter(pk=submission.pk).exists()


def may_see_log(user: Person, submission: Submission) -> bool:
    """The qualification's log: as the package."""
    return may_see_package(user, submission)


def may_see_verdict(user: Person, match: Match) -> bool:
    return may_see_tournament(user, match.tournament)


# --- matches ------------------------------------------------------------------------------------


def reveals_nothing(spec: RoundSpec) -> bool:
    """Whether the attack's jail holds nothing of the defense's, not even what it declares."""
    model = spec.threat_model
    return (
        not model.reveals_package
        and model.parameters is not Parameters.FULL
        and model.structure is DefenseStructure.HIDDEN
        and model.learning_algorithm is LearningAlgorithm.HIDDEN
        and model.randomness is not Randomness.SEED
    )


def has_revealed(round_: Round) -> bool:
    return round_.state in REVEALED or round_.tournament.state in REVEALED


def is_closed(round_: Round) -> bool:
    return Phase.FROZEN in (round_.state, round_.tournament.state)


def plays_for(user: Person, entry: Entry) -> bool:
    return entry.team_id is not None and entry.team_id in team_ids(user)


def _on_a_side(user: Person, match: Match) -> bool:
    return plays_for(user, match.attack) or plays_for(user, match.defense)


def _against_the_house(match: Match) -> bool:
    return match.attack.is_house or match.defense.is_house


def _practice(match: Match) -> bool:
    return match.round.rules.split is SplitName.PRACTICE


def may_see_match_log(user: Person, match: Match, side: Side) -> bool:
    """What a player printed.

    Each side its own, on the practice split, in rounds that reveal nothing; against the house,
    whose code and weights are public, both logs on the practice split always; otherwise after the
    round has revealed.
    """
    if selectors.organizes(user, match.tournament):
        return True
    if match.house_only:
        return _practice(match) and may_see_verdict(user, match)
    if _against_the_house(match):
        return _on_a_side(user, match) and (_practice(match) or has_revealed(match.round))
    own = plays_for(user, match.attack if side is Side.ATTACK else match.defense)
    open_now = _practice(match) and reveals_nothing(match.round.rules)
    return own and (open_now or has_revealed(match.round))


def waits_for_match_log(user: Person, match: Match, side: Side) -> bool:
    """Whether its own player's log is kept from this reader until the round has revealed."""
    own = plays_for(user, match.attack if side is Side.ATTACK else match.defense)
    return own and not may_see_match_log(user, match, side)


def may_see_outcome(user: Person, match: Match) -> bool:
    """The outcome of each example.

    Both sides in development rounds that reveal nothing (or against the house); everyone where
    the house plays itself in them; else organizers alone until the close.
    """
    if selectors.organizes(user, match.tournament):
        return True
    if match.house_only:
        return _practice(match) and may_see_verdict(user, match)
    if not _on_a_side(user, match):
        return False
    hides_nothing = reveals_nothing(match.round.rules) or _against_the_house(match)
    return (_practice(match) and hides_nothing) or is_closed(match.round)


def outcome_sha256(user: Person, match: Match) -> str:
    """The digest of the outcome's file, for those who may have it, and for everyone once the round
    is closed. Before, whoever knows the figures could try which examples were broken."""
    shown = is_closed(match.round) or may_see_outcome(user, match)
    verdict = getattr(match, "verdict", None)
    return str(verdict.outcome_sha256) if shown and verdict is not None else ""


def provenance(user: Person, match: Match) -> dict[str, Any]:
    """Where the verdict comes from: all of it for those who may have the outcome, the rest gets
    :data:`OPEN_FACTS`."""
    verdict = getattr(match, "verdict", None)
    found = {} if verdict is None else dict(verdict.provenance)
    if may_see_outcome(user, match):
        return found
    return {key: value for key, value in found.items() if key in OPEN_FACTS}


def may_see_images(user: Person, match: Match) -> bool:
    """As the outcome, but a final split never leaves the referee: its images are nobody's."""
    return _practice(match) and may_see_outcome(user, match)


def fault_sentence(user: Person, match: Match) -> str:
    """What went wrong: in full to those who may read that side's log, else from a fixed list."""
    verdict = getattr(match, "verdict", None)
    if verdict is None or not verdict.fault_side:
        return ""
    if may_see_match_log(user, match, Side(verdict.fault_side)):
        return str(verdict.fault_sentence)
    return FAULT_SENTENCES.get(verdict.fault_code, "The player broke a rule.")
