"""Evidence of masked gradients: symptoms in matches that one defense has already played.

A defense can look strong because attacks fail rather than because it holds (Athalye, Carlini &
Wagner 2018, arXiv:1802.00420; Carlini et al. 2019, arXiv:1902.06705, section 4). The signs are in
the bits: what needs less knowledge breaks more. docs/evidence.md states every rule.

Nobody can be accused by a guest's word: what an attack did not see is decided by the round that
withheld it, and what an attack *is* (one step, noise, a gradient attack that ought to work) is
believed of house players alone. A guest's gradient attack only adds to what gradients found.

By topic: what a symptom is (:mod:`~arena.evidence.symptom`), the matches that are looked at
(:mod:`~arena.evidence.trials`), how attacks are compared (:mod:`~arena.evidence.comparison`), and
one rule a symptom (:mod:`~arena.evidence.rules`).
"""

from arena.evidence.comparison import fisher
from arena.evidence.rules import certificate_broken, symptoms
from arena.evidence.symptom import NOTES, REFUTED, Code, Symptom
from arena.evidence.trials import Attacker, Probed, Trial

__all__ = [
    "NOTES",
    "REFUTED",
    "Attacker",
    "Code",
    "Probed",
    "Symptom",
    "Trial",
    "certificate_broken",
    "fisher",
    "symptoms",
]
