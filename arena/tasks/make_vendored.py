"""Makes the subsets that are shipped: ``python -m arena.tasks.make_vendored --from DIR``.

DIR holds the folders ``mnist`` and ``fashion-mnist`` with the canonical IDX files, and
``spambase/spambase.csv.gz`` and ``spamassassin/mails.jsonl.gz``. The same files give the same
arrays on every machine. The vocabulary of the mails is printed: it is ``features`` of their task.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.tasks.importing import read_canonical
from arena.tasks.library import HOUSE_DIRECTORY
from arena.tasks.make_mails import spamassassin_arrays, spambase_arrays
from arena.tasks.seeds import frozen_stream, stratified_sample

TRAIN_SIZE: Final = 5_000
PRACTICE_SIZE: Final = 2_000
#: Vendored task -> the full set that it is drawn from.
VENDORED: Final = {"mnist5k": "mnist", "fashion5k": "fashion-mnist"}


def vendored_arrays(name: str, source: Path) -> dict[str, NDArray[Any]]:
    """The uint8 arrays of the vendored task ``name``, drawn from the IDX files in ``source``.

    Train examples come from the full train set, practice examples from the full test set, classes
    in proportion, in their original order.
    """
    full = read_canonical(VENDORED[name], source)
    arrays: dict[str, NDArray[Any]] = {}
    for part, size in (("train", TRAIN_SIZE), ("test", PRACTICE_SIZE)):
        stream = frozen_stream(b"vendored", name.encode(), part.encode())
        rows = stratified_sample(full[f"y_{part}"], size=size, stream=stream)
        arrays[f"x_{part}"] = full[f"x_{part}"][rows]
        arrays[f"y_{part}"] = full[f"y_{part}"][rows]
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="DIR")
    source: Path = parser.parse_args().source
    for name, full in VENDORED.items():
        _write(name, vendored_arrays(name, source / full))
    _write("spambase", spambase_arrays(source / "spambase" / "spambase.csv.gz"))
    mails, words = spamassassin_arrays(source / "spamassassin" / "mails.jsonl.gz")
    _write("spamassassin-words", mails)
    sys.stdout.write(json.dumps(words) + "\n")


def _write(name: str, arrays: dict[str, NDArray[Any]]) -> None:
    target = HOUSE_DIRECTORY / "data" / f"{name}.npz"
    np.savez_compressed(target, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
