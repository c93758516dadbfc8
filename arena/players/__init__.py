"""What a submission implements. This is the whole interface; it needs numpy alone.

Every array is float32 in [0, 1] with the examples along the first axis, ``(n, *shape)``. Players
run inside a jail, are built once per process, and talk to nobody but the referee. A round's
threat model decides which fields of a challenge are filled: what is withheld is ``None``, and is
nowhere else in the jail either.

A defense (``role = "defense"``)::

    class Defense(arena.players.Defense):
        def predict(self, x):                       # (n, *shape) -> (n, classes)
            return x.reshape(len(x), -1) @ self.w

An attack (``role = "attack"``)::

    class Attack(arena.players.EvasionAttack):
        def attack(self, challenge):                # -> candidates (n, *shape)
            slope = challenge.defense.gradient(challenge.x, challenge.y)
            return challenge.clip(challenge.x + challenge.epsilon * np.sign(slope))
"""

from arena.errors import NotDifferentiable, QueryBudgetExceeded, Withheld
from arena.players.defenses import Defense, Learner
from arena.players.evasion import EvasionAttack, EvasionChallenge
from arena.players.extraction import ExtractionChallenge, Surrogate, Thief
from arena.players.poisoning import (
    Backdoor,
    BackdoorChallenge,
    OnlineChallenge,
    Poison,
    Poisoner,
    PoisoningChallenge,
    TargetedChallenge,
    TrendChallenge,
)
from arena.players.task import Images, Labels, Scores, TaskInfo, row_noise
from arena.players.view import DefenseView

__all__ = [
    "Backdoor",
    "BackdoorChallenge",
    "Defense",
    "DefenseView",
    "EvasionAttack",
    "EvasionChallenge",
    "ExtractionChallenge",
    "Images",
    "Labels",
    "Learner",
    "NotDifferentiable",
    "OnlineChallenge",
    "Poison",
    "Poisoner",
    "PoisoningChallenge",
    "QueryBudgetExceeded",
    "Scores",
    "Surrogate",
    "TargetedChallenge",
    "TaskInfo",
    "Thief",
    "TrendChallenge",
    "Withheld",
    "row_noise",
]
