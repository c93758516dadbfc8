"""Qualification: the automatic check of a new submission, in the jail, by a friendly.

``python -m arena.qualification PACKAGE.zip --task TASK --out DIR`` writes ``qualification.json``
(``accepted``, ``sentence``, ``figures``) and ``log.txt``. Exit status 0 with a finding, 2 for bad
usage, 5 for a fault of ours.

A rejection says in one sentence what to change. Figures that do not decide (clean accuracy below
the floor, grey-box eligibility, reliability on planted examples) are stated, not judged.

By topic: what every check has (:mod:`~arena.qualification.check`), one file a role, who is asked
what (:mod:`~arena.qualification.roles`), and the command.
"""

from arena.qualification.check import Qualification, Rejected, epsilon_of
from arena.qualification.command import main
from arena.qualification.roles import qualify

__all__ = ["Qualification", "Rejected", "epsilon_of", "main", "qualify"]
