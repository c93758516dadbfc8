"""
number = 32
name = "Code in a pickle: in its own files, and in what it answers"
roles = ["attack", "defense"]
stopped_by = ["frames", "mounts"]
ends = "scored"
"""

import os
import pickle

import numpy as np
from hostile import CANARY, HonestAttack, HonestDefense, report, scratch


class Bomb:
    """Unpickled, it writes a file next to the referee's secret and says which process did."""

    def __reduce__(self):
        path = os.path.join(os.path.dirname(CANARY["places"][0]), "unpickled")
        return exec, (f"import os\ntry: open({path!r}, 'w').close()\nexcept OSError: pass",)


class Objects(np.ndarray):
    """An array that pickles into the bomb, should anybody pickle it."""

    def __reduce__(self):
        return Bomb().__reduce__()


def attempt():
    path = scratch("arena-hostile.npy")
    with open(path, "wb") as file:
        np.save(file, np.array([Bomb()], object), allow_pickle=True)
    np.load(path, allow_pickle=True)
    os.unlink(path)
    pickle.loads(pickle.dumps(Bomb()))
    yield from ()


class Attack(HonestAttack):
    def attack(self, challenge):
        report(attempt)
        return challenge.x.copy().view(Objects)


class Defense(HonestDefense):
    def load(self):
        super().load()
        report(attempt)

    def predict(self, x):
        return super().predict(x).view(Objects)
