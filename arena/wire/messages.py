"""Every message between the referee and a jail: who may send it, and what it may carry at most."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

VERSION: Final = 2


class Op(IntEnum):
    """Every message there is: who may send it, and when. Anything else is a violation.

    ==================  ===================  =====================================================
    op                  sender               when
    ==================  ===================  =====================================================
    HELLO               referee              first frame: seed, framework
    UP                  any jail             reply to HELLO: no byte of a player has come yet
    FILE                referee              after UP, any number; no reply
    SEAL                referee              after the files: the last walls go up
    LOCKED              any jail             reply to SEAL: no line of a player has run yet
    START               referee              after LOCKED: task; the player is loaded now
    READY               any jail             reply to START
    PREDICT             referee              to a loaded defense or a fitted learner
    SCORES              defense, learner     reply to PREDICT
    BACKWARD            referee              to a differentiable defense: labels
    BACKWARD_WEIGHTED   referee              to a differentiable defense: weights of the logits
    GRADIENTS           defense              reply to BACKWARD and BACKWARD_WEIGHTED
    FIT                 referee              to a learner: train from scratch
    FITTED              learner              reply to FIT
    EVADE               referee              to an attack: the challenge
    CANDIDATES          attack               reply to EVADE, after any number of questions
    POISON              referee              to a poisoner: the challenge
    POISONED            poisoner             reply to POISON, after any number of questions
    STEAL               referee              to a thief: the challenge, once for each stop
    STOLEN              thief                reply to STEAL: the zip of the copy
    BACKDOOR            referee              to a poisoner: the challenge, with a target
    BACKDOORED          poisoner             reply to BACKDOOR, after any number of questions
    CERTIFY             referee              to a defense that certifies
    CERTIFIED           defense              reply to CERTIFY: labels and radii
    ASK                 attacker             question while it plays: the oracle, charged
    LOGITS              attack               question while it plays: white-box rounds
    GRADIENT            attack               question while it plays: white-box rounds, labels
    WEIGHTED_GRADIENT   attack               question while it plays: white-box rounds, weights
    CHECK               attack               question while it plays: feedback, charged
    SUBMIT              attack               question while it plays: candidates so far
    PROBES              attacker             question while it plays: what is left
    ANSWER              referee              reply to a question
    REFUSED             referee              reply to a question: an InGameError, raised there
    FAILED              any jail             instead of any reply: the player raised; then it exits
    ==================  ===================  =====================================================
    """

    HELLO = 1
    UP = 2
    FILE = 3
    SEAL = 4
    LOCKED = 5
    START = 6
    READY = 7
    PREDICT = 10
    SCORES = 11
    BACKWARD = 12
    BACKWARD_WEIGHTED = 13
    GRADIENTS = 14
    FIT = 15
    FITTED = 16
    EVADE = 20
    CANDIDATES = 21
    POISON = 22
    POISONED = 23
    STEAL = 24
    STOLEN = 25
    CERTIFY = 26
    CERTIFIED = 27
    BACKDOOR = 28
    BACKDOORED = 29
    ASK = 30
    LOGITS = 31
    GRADIENT = 32
    WEIGHTED_GRADIENT = 33
    CHECK = 34
    SUBMIT = 35
    PROBES = 36
    ANSWER = 40
    REFUSED = 41
    FAILED = 50


QUESTIONS: Final = frozenset(
    {
        Op.ASK,
        Op.LOGITS,
        Op.GRADIENT,
        Op.WEIGHTED_GRADIENT,
        Op.CHECK,
        Op.SUBMIT,
        Op.PROBES,
    }
)
"""What a player may ask while it plays; everything else it sends is a reply."""


class Failure(StrEnum):
    """What a jail says of its own player in FAILED; it can blame nobody else."""

    LOCKDOWN = "lockdown"
    RAISED = "raised"
    MEMORY = "memory"
    SHAPE = "shape"
    QUERIES = "queries"
    POISON = "poison"
    SURROGATE = "surrogate"


MAX_WEIGHT: Final = 1e6
"""Largest weight of a logit in a gradient question: larger ones would overflow the defense."""
MAX_SURROGATE: Final = 16 * 2**20
"""Largest zip of a stolen copy."""
MAX_TRACEBACK: Final = 4000
"""Characters; JSON may take six bytes for one."""
FAILED_META: Final = 6 * MAX_TRACEBACK + 1000
