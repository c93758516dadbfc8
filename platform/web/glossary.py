"""The words of the arena (docs/rules.md, "Nouns"); pages link to them with a tooltip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Term:
    """``short`` is one sentence, shown as a tooltip; ``more`` stands on the glossary page."""

    slug: str
    name: str
    short: str
    more: str = ""


TERMS: Final = (
    Term(
        "task", "Task", "What is classified: data splits, input space, classes and a clean floor."
    ),
    Term(
        "split",
        "Split",
        "The examples that are judged: practice (published) or final (kept by the referee).",
        "A final split is the organizer's own file, or derived from a secret seed by small affine "
        "and elastic changes that keep the reference's accuracy. It never leaves the referee.",
    ),
    Term(
        "submission",
        "Submission",
        "An uploaded package, manifest with code and weights, named by its SHA-256.",
    ),
    Term(
        "qualification",
        "Qualification",
        "The automatic check of a new submission in the jail, by a friendly against the house.",
    ),
    Term("entry", "Entry", "A submission that a team has entered in a tournament, in one role."),
    Term("team", "Team", "The people who enter together; it has one active entry per role."),
    Term("attack", "Attack", "A player that looks for inputs on which a defense errs."),
    Term("defense", "Defense", "A player that classifies, and should not be fooled."),
    Term(
        "learner",
        "Learner",
        "Training code without weights: the referee trains it on clean and on poisoned data.",
    ),
    Term("poisoner", "Poisoner", "A player that adds or replaces training points to raise errors."),
    Term(
        "threat-model",
        "Threat model",
        "What the attack may know and ask: eleven switches, from first mover to feedback.",
        "White shows everything, black answers probes alone, transfer grants none, grey is in "
        "between. What a switch withholds is not present in the attack's jail at all.",
    ),
    Term(
        "first-mover",
        "First mover",
        "Who commits first: the defender or the attacker.",
        "It is the attacker in attacker-first rounds, and in poisoning rounds that say so; "
        "everywhere else the defender.",
    ),
    Term(
        "task-knowledge",
        "Task knowledge",
        "How much of the task the attack is told: input space, classes, the defender's costs.",
    ),
    Term(
        "training-data",
        "Training data",
        "Labelled points that the attack receives, disjoint from the judged examples.",
    ),
    Term(
        "learning-algorithm",
        "Learning algorithm",
        "The family of the defense, as its manifest declares it.",
    ),
    Term("architecture", "Architecture", "The defense's untrained builder, without its weights."),
    Term(
        "parameters",
        "Parameters",
        "The defense's weights with exact gradients, or house models of the same family.",
    ),
    Term(
        "defense-structure",
        "Defense structure",
        "What surrounds the model: the defense's own description, or its source.",
    ),
    Term(
        "randomness",
        "Randomness",
        "What the attack is told of a stochastic defense's random draws.",
    ),
    Term(
        "oracle-output",
        "Oracle output",
        "What a reply holds: the label, the k best, rounded or full probabilities, or logits.",
    ),
    Term(
        "feedback",
        "Feedback",
        "Whether a candidate may be checked while the attack plays, at the price of a probe.",
    ),
    Term(
        "true-label",
        "True labels",
        "Whether the attack is told the labels of the examples that it must attack.",
    ),
    Term("goal", "Goal", "Untargeted: any mistake counts. Targeted: only the class that was set."),
    Term(
        "target-rule",
        "Target rule",
        "How targets are set: at random, the least likely class, or every other class in turn.",
    ),
    Term(
        "evasion",
        "Evasion",
        "An attack changes examples, within a bound, until the defense answers them wrongly.",
    ),
    Term(
        "minimum-norm",
        "Minimum-norm evasion",
        "An attack changes examples as little as it can; what is scored is how far it went.",
    ),
    Term(
        "poisoning",
        "Poisoning",
        "A poisoner adds or replaces training points; the learner's error on clean data is judged.",
        "The referee trains the learner on clean and on poisoned data, from the same seeds.",
    ),
    Term(
        "backdoor",
        "Backdoor",
        "A trigger that poison teaches a learner: with it on, inputs are answered as the target.",
        "The referee bounds the trigger and applies it; without it the model should be as good as "
        "before.",
    ),
    Term(
        "replay",
        "Replay",
        "A mistake that was found is played again, N times; the loss is N times the chance of it.",
        "A defense that draws at random may answer right the next time.",
    ),
    Term(
        "targeted-poisoning",
        "Targeted poisoning",
        "Poison that makes a learner answer a few chosen points as classes that they are not.",
        "Clean-label poison keeps its labels: every point looks like one of the training set.",
    ),
    Term(
        "online-poisoning",
        "Online poisoning",
        "The training set comes in batches; a share of each is the poisoner's, who sees it first.",
    ),
    Term(
        "attacker-first",
        "Attacker first",
        "The attack commits and publishes examples; the learner trains on them and meets fresh "
        "ones.",
        "Both sets are made in one go on the house's reference model, before any defense is there.",
    ),
    Term(
        "trend-poisoning",
        "Trend poisoning",
        "A poisoner changes the values of a series a little, so that its slope goes away.",
        "Learners are estimators of trends; robust ones ask less of each single point.",
    ),
    Term(
        "regression",
        "Regression task",
        "A task of values instead of classes: series of points over time.",
    ),
    Term(
        "good-words",
        "Good words",
        "Words that a spam filter likes, added to blocked spam until it passes; none is taken out.",
        "Passive where the attack may ask nothing, else the filter itself tells which words work.",
    ),
    Term(
        "cost",
        "Value-weighted loss",
        "The mean cost of the answers by the task's cost matrix; 1 for any mistake without one.",
        "Where a wanted mail that is blocked costs more than spam that passes, two filters of "
        "equal accuracy differ in it.",
    ),
    Term(
        "extraction",
        "Extraction",
        "A thief copies a defense from its answers; the copy is judged by how often both agree.",
    ),
    Term(
        "certification",
        "Certification",
        "A defense claims a radius for every input, and attacks look for a counterexample.",
    ),
    Term("thief", "Thief", "A player that copies a defense from its answers (model extraction)."),
    Term(
        "certified",
        "Certified accuracy",
        "The share of examples that are right and whose certified radius is at least so large.",
        "A certificate is a claim about every input within the radius; one counterexample refutes "
        "it.",
    ),
    Term(
        "fidelity",
        "Fidelity",
        "The share of examples on which a stolen copy and its original agree.",
        "A faithful copy repeats the original's mistakes: fidelity is not accuracy.",
    ),
    Term(
        "game",
        "Game",
        "A kind of round: evasion, minimum-norm, transfer, poisoning (of a set, of chosen points, "
        "of a stream), backdoor, extraction, certification, replay, attacker-first, trend "
        "poisoning or good words.",
    ),
    Term("round", "Round", "One game under one threat model and budget, with its own clock."),
    Term("tier", "Tier", "The rows that may be compared: same task, game, goal and threat model."),
    Term("match", "Match", "One attack entry against one defense entry in one round."),
    Term(
        "pool",
        "Pool",
        "Whom everyone in a round meets: the house, active entries and kept attacks.",
        "A superseded attack stays in the pool when it held a unique kill.",
    ),
    Term("kill", "Kill", "An example that an attack broke on a defense that had it right."),
    Term("unique-kill", "Unique kill", "An example that no other team's attack broke."),
    Term("referee", "Referee", "The trusted process that runs a match and judges it."),
    Term("oracle", "Oracle", "The metered, filtered view of the defense that an attack may ask."),
    Term("probe", "Probes", "Questions to the oracle, each charged before it is answered."),
    Term("verdict", "Verdict", "The referee's finding: figures, or a fault and the side to blame."),
    Term(
        "forfeit", "Forfeit", "The match ended by a player's fault; it counts on that side alone."
    ),
    Term("void", "Void", "The match ended by our fault; it is played again and never scored."),
    Term(
        "not-applicable",
        "Not applicable",
        "The players' abilities cannot meet here; no match, and outside both denominators.",
    ),
    Term("standing", "Standing", "One ranked row of a leaderboard."),
    Term("leaderboard", "Leaderboard", "All rows of a tournament and tier."),
    Term(
        "provisional",
        "Provisional",
        "A row that has met less than 95 % of its pool; it is shown but not ranked.",
    ),
    Term("clean-floor", "Clean floor", "Clean accuracy below which a row is shown but not ranked."),
    Term("clean-accuracy", "Clean accuracy", "Share of unchanged examples answered correctly."),
    Term(
        "robust-accuracy",
        "Robust accuracy",
        "Share of examples right when clean and not broken by any attack of the pool.",
        "The mean over examples of the worst case over attacks. It can only fall as attacks "
        "arrive, so every figure is an upper bound.",
    ),
    Term(
        "attack-success",
        "Attack success",
        "Broken among the examples that the defense had right; the mean over teams on boards.",
    ),
    Term("rank", "Rank", "One more than the rows that are significantly better (paired, Holm)."),
    Term("interval", "Interval", "95 % confidence: Wilson or paired bootstrap over the examples."),
    Term("epsilon", "Epsilon (ε)", "The size of perturbation that a round allows, in its norm."),
    Term(
        "norm",
        "Norm",
        "How a change is bounded: L∞, L2, L1 or L0; or as a patch, a turn and shift, a corruption.",
    ),
    Term(
        "patch",
        "Patch",
        "A change of any size within one rectangle; ε is the largest share of the picture.",
        "The attack chooses place and pixels. The referee measures the smallest upright rectangle "
        "around all that changed.",
    ),
    Term(
        "spatial",
        "Turn and shift",
        "A rotation and a translation, within so many degrees and pixels.",
        "The attack names both for each example, and the referee turns the picture: no other "
        "change is possible.",
    ),
    Term(
        "corruption",
        "Common corruption",
        "Noise, blur, fog and the like, twelve kinds at five severities, made by the referee.",
        "An attack names kind and severity for each example. Beside it the referee asks about "
        "every kind itself: the mean accuracy needs no attack.",
    ),
    Term("perturbation", "Perturbation", "What an attack adds to an example: x' minus x."),
    Term("phase", "Phase", "Scheduled, open, playing, published or frozen."),
    Term("house", "House", "Our own reference players: always in the pool, by the same door."),
    Term("jail", "Jail", "The closed process in which every player runs: no network, no labels."),
    Term(
        "white", "White box", "The attack sees the whole defense, weights and gradients included."
    ),
    Term("grey", "Grey box", "The attack sees part of the defense and may ask some probes."),
    Term("black", "Black box", "The attack sees nothing of the defense but answers to probes."),
    Term("transfer", "Transfer", "No probes: attacks are crafted on related models."),
    Term("custom", "Custom threat model", "Switches that the organizer has set one by one."),
)
BY_SLUG: Final = {term.slug: term for term in TERMS}
BY_NAME: Final = {term.name: term for term in TERMS}
