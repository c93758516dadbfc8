"""
number = 41
name = "Labels that a round withholds, the judged split, the data set as it is bundled"
roles = ["attack", "defense"]
stopped_by = ["referee", "mounts"]
ends = "scored"
true_label = false
"""

import gc
import glob
import importlib

import numpy as np
from hostile import HonestAttack, HonestDefense, say


def bundled():
    for name in ("digits.csv.gz", "iris.csv", "wine_data.csv"):
        yield from glob.glob(f"/site/*/datasets/**/{name}", recursive=True)
    for module in ("arena.tasks", "arena.tasks.digits", "arena.house", "arena.games"):
        try:
            importlib.import_module(module)
            yield module
        except ImportError:
            pass


def whole_numbers(n):
    """Every array of n whole numbers that anything here holds, but for a plain count."""
    for holder in gc.get_objects():
        for thing in gc.get_referents(holder):
            whole = isinstance(thing, np.ndarray) and thing.dtype.kind in "iu"
            if whole and thing.shape == (n,) and thing.tolist() != list(range(n)):
                yield thing.tolist()


def tell(found):
    say("TRIED")
    for what in found:
        say("THROUGH", what)


class Attack(HonestAttack):
    def attack(self, challenge):
        tell(bundled())
        if challenge.y is not None:
            say("THROUGH", "labels that the round withholds")
        n = len(challenge.x)
        for numbers in whole_numbers(n):
            if len(set(numbers)) > 3 and min(numbers) >= 0 and max(numbers) < 10:
                say("THROUGH", f"{numbers} might be the labels")
        if challenge.training is not None:
            judged = {row.tobytes() for row in challenge.x}
            if judged & {row.tobytes() for row in challenge.training[0]}:
                say("THROUGH", "judged examples among the training data")
        return challenge.x


class Defense(HonestDefense):
    def load(self):
        super().load()
        tell(bundled())
