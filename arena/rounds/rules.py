"""What rounds are refused, and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arena.rounds.kinds import (
    BEYOND_BALLS,
    IN_A_BALL,
    MOVES,
    POISONED,
    SEVERITIES,
    GameName,
    Goal,
    Norm,
    movers_of,
)
from arena.threat_model import (
    Architecture,
    DefenseStructure,
    FirstMover,
    LearningAlgorithm,
    Parameters,
    TaskKnowledge,
    ThreatModel,
)

if TYPE_CHECKING:
    from arena.rounds.spec import RoundSpec

MOST_REPLAYS: Final = 10_000


def rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    """(broken, the setting to mend, the sentence), in the order in which they are told."""
    poisoning = r.game in POISONED
    return [
        (
            r.game in IN_A_BALL and not r.epsilons,
            "epsilons",
            "A round within a ball needs at least one epsilon.",
        ),
        (
            r.game is GameName.MINIMUM_NORM and bool(r.epsilons),
            "epsilons",
            "A minimum-norm round takes no epsilon: it is scored by distance.",
        ),
        (
            any(not 0 < e < float("inf") for e in r.epsilons)
            or list(r.epsilons) != sorted(set(r.epsilons)),
            "epsilons",
            "Epsilons must be positive, finite, distinct and in ascending order.",
        ),
        (
            poisoning and not r.shares,
            "shares",
            "A round about poison needs at least one poisoned share.",
        ),
        (
            any(not 0 < s < 1 for s in r.shares) or list(r.shares) != sorted(set(r.shares)),
            "shares",
            "Poisoned shares must lie between 0 and 1, distinct and in ascending order.",
        ),
        (
            poisoning and r.seeds < 5,
            "seeds",
            "A round about poison needs at least 5 paired seeds.",
        ),
        (
            poisoning and r.goal is Goal.TARGETED,
            "goal",
            "In rounds about poison targets are drawn; choose goal = 'untargeted'.",
        ),
        (
            r.game is GameName.BACKDOOR and len(r.epsilons) > 1,
            "epsilons",
            "A backdoor round takes one epsilon, for a trigger that is added, or none for a patch.",
        ),
        (
            not 0 < r.trigger_area <= 1,
            "trigger_area",
            "trigger_area is a share of the features: 0 < area <= 1.",
        ),
        *_training_rules(r),
        *_extraction_rules(r),
        *_change_rules(r),
        *_attacker_first_rules(r),
        *_trend_rules(r),
        *_good_word_rules(r),
        (
            r.game is GameName.CERTIFICATION and r.goal is Goal.TARGETED,
            "goal",
            "A certificate says that no class but one is reached; choose goal = 'untargeted'.",
        ),
        (
            r.threat_model.first_mover not in movers_of(r.game),
            "first_mover",
            (
                f"In {r.game.value} rounds the {movers_of(r.game)[0].value} commits first: choose "
                f"first_mover = {' or '.join(repr(m.value) for m in movers_of(r.game))}."
            ),
        ),
        (r.examples < 1, "examples", "A round needs at least one example."),
        (r.repeats < 1, "repeats", "repeats must be at least 1."),
        (
            not 1 <= r.replays <= MOST_REPLAYS,
            "replays",
            f"replays lie between 1 and {MOST_REPLAYS:,}.",
        ),
        (
            r.game is GameName.TRANSFER and not r.threat_model.probes.none,
            "probes",
            "A transfer round grants no probes; use the evasion game for rounds with probes.",
        ),
        (
            r.game is GameName.TRANSFER and r.threat_model.parameters is Parameters.FULL,
            "parameters",
            "A transfer round withholds the weights; use the evasion game for white-box rounds.",
        ),
    ]


def _training_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    targeted, online = r.game is GameName.TARGETED_POISONING, r.game is GameName.ONLINE_POISONING
    blind = r.game is GameName.POISONING and r.threat_model.first_mover is FirstMover.ATTACKER
    return [
        (
            targeted and len(r.epsilons) > 1,
            "epsilons",
            "A targeted poisoning round takes one epsilon, for clean-label poison, or none.",
        ),
        (
            not 1 <= r.targets <= 100,
            "targets",
            "A targeted poisoning round has 1 to 100 chosen points.",
        ),
        (
            targeted and r.targets >= r.examples,
            "targets",
            "Chosen points are some of the examples, beside others: choose targets < examples.",
        ),
        (
            not 2 <= r.batches <= 200,
            "batches",
            "An online poisoning round has 2 to 200 batches.",
        ),
        (
            online and len(r.shares) > 1,
            "shares",
            "An online poisoning round takes one poisoned share: its curve is over time.",
        ),
        (
            blind and len(r.shares) > 1,
            "shares",
            "An attacker who moves first publishes one poisoned set: choose one share.",
        ),
        (
            blind and not _shows_nothing(r.threat_model),
            "first_mover",
            (
                "An attacker who moves first has no learner to look at or to probe: grant no "
                "probes, hide parameters, related models, family, architecture and structure."
            ),
        ),
    ]


def _shows_nothing(m: ThreatModel) -> bool:
    """Nothing of the defense: it has not been chosen yet."""
    return (
        m.probes.none
        and m.parameters is Parameters.HIDDEN
        and m.structure is DefenseStructure.HIDDEN
        and m.architecture is Architecture.HIDDEN
        and m.learning_algorithm is LearningAlgorithm.HIDDEN
    )


def _extraction_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    steals, model = r.game is GameName.EXTRACTION, r.threat_model
    probes = model.probes
    shown = model.parameters is Parameters.FULL or model.structure is DefenseStructure.SOURCE
    return [
        (
            steals and (probes.total is None or probes.per_example is not None),
            "probes",
            (
                "An extraction round counts its probes in total, since a thief has no examples: "
                "choose a black or grey box, or probes in total alone."
            ),
        ),
        (
            steals and model.task_knowledge is TaskKnowledge.NONE,
            "task_knowledge",
            "An extraction round shows the input space at least: a thief must know what to ask.",
        ),
        (
            steals and shown,
            "parameters",
            "An extraction round withholds weights and source: there would be nothing to steal.",
        ),
        (
            steals and r.goal is Goal.TARGETED,
            "goal",
            "Extraction is untargeted; choose goal = 'untargeted'.",
        ),
    ]


def _change_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    spatial, common = r.norm is Norm.SPATIAL, r.norm is Norm.CORRUPTION
    others = (GameName.EXTRACTION, GameName.TREND_POISONING)
    perturbs = r.game not in POISONED and r.game not in others
    severities = tuple(map(float, range(1, SEVERITIES + 1)))
    return [
        (
            r.norm in BEYOND_BALLS and not perturbs,
            "norm",
            "Patches, spatial changes and corruptions are for rounds that perturb examples.",
        ),
        (
            r.norm in MOVES and r.game in (GameName.MINIMUM_NORM, GameName.CERTIFICATION),
            "norm",
            "A spatial change or a corruption has no distance: play evasion or transfer.",
        ),
        (
            r.norm is Norm.PATCH and any(e > 1 for e in r.epsilons),
            "epsilons",
            "The epsilons of a patch are shares of the picture: at most 1.",
        ),
        (
            spatial and any(e > 180 for e in r.epsilons),
            "epsilons",
            "The epsilons of a spatial round are degrees: at most 180.",
        ),
        (
            common and any(e not in severities for e in r.epsilons),
            "epsilons",
            "The epsilons of a corruption round are severities: 1, 2, 3, 4 or 5.",
        ),
        (bool(r.shifts) and not spatial, "shifts", "Shifts are for rounds with norm = 'spatial'."),
        (
            bool(r.shifts) and len(r.shifts) != len(r.epsilons),
            "shifts",
            "Give one shift in pixels for each epsilon, or none for a tenth of a pixel a degree.",
        ),
        (
            any(not 0 <= s < float("inf") for s in r.shifts) or list(r.shifts) != sorted(r.shifts),
            "shifts",
            "Shifts are pixels, not negative and not falling from one epsilon to the next.",
        ),
    ]


def _attacker_first_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    first = r.game is GameName.ATTACKER_FIRST
    return [
        (r.published < 1, "published", "published must be at least 1."),
        (first and r.seeds < 5, "seeds", "An attacker-first round needs at least 5 paired seeds."),
        (
            first and r.goal is Goal.TARGETED,
            "goal",
            "An attacker-first round is untargeted; choose goal = 'untargeted'.",
        ),
    ]


def _trend_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    trend = r.game is GameName.TREND_POISONING
    return [
        (
            trend and not r.threat_model.probes.none,
            "probes",
            "A trend round grants no probes: the learner's code is all that there is to look at.",
        ),
        (
            trend and r.goal is Goal.TARGETED,
            "goal",
            "A trend is removed, not aimed: choose goal = 'untargeted'.",
        ),
        (
            trend and r.norm is Norm.L0 and any(e != int(e) for e in r.epsilons),
            "epsilons",
            "In L0 an epsilon counts points of a series: give whole numbers.",
        ),
    ]


def _good_word_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    adds = r.game is GameName.GOOD_WORDS
    return [
        (
            adds and r.norm is not Norm.L0,
            "norm",
            "Good words are counted: choose norm = 'l0', and epsilons as numbers of words.",
        ),
        (
            adds and any(e != int(e) for e in r.epsilons if e < float("inf")),
            "epsilons",
            "The epsilons of a good-word round are numbers of words: give whole numbers.",
        ),
        (
            adds and r.goal is Goal.TARGETED,
            "goal",
            "Spam passes or it does not: choose goal = 'untargeted'.",
        ),
    ]
