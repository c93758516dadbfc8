"""Makes the two spam tasks that are shipped, from published corpora of mails.

``make_vendored.py`` is the command. The same files give the same arrays on every machine.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.tasks.seeds import frozen_stream, stratified_sample

Arrays = dict[str, NDArray[Any]]

SPAM: Final = "spam"
TRAIN_SHARE: Final = 2 / 3
VOCABULARY: Final = 1_500
LARGEST_SHARE: Final = 10.0  # per cent of a mail; a larger share of one word counts as this
LONGEST_RUN: Final = 10_000.0  # capitals; a longer run counts as this


def spambase_arrays(table: Path) -> Arrays:
    """Spambase, 57 measurements a mail: (n, 57) uint8, 255 for 1.

    A value v becomes min(1, ln(1 + v) / ln(1 + most)): v is the share of a word or character, in
    per cent, with most = 10; or the length of runs of capitals (``capital...``), most = 10,000.
    """
    with gzip.open(table, "rt", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    values = np.array([row[:-1] for row in rows], np.float64)
    y = np.array([row[-1] == SPAM for row in rows], np.uint8)
    runs = [name.startswith("capital") for name in head[:-1]]
    most = np.where(runs, LONGEST_RUN, LARGEST_SHARE)
    scaled = np.minimum(1.0, np.log1p(values) / np.log1p(most))
    x = np.rint(255 * scaled).astype(np.uint8)
    return _split(b"spambase", *_distinct(x, y))


def spamassassin_arrays(mails: Path) -> tuple[Arrays, tuple[str, ...]]:
    """Which words of a vocabulary a mail holds: (n, 188) uint8, eight words a byte, and the words.

    The vocabulary is the 1,500 words that are in most mails of the training split alone; where
    two are in as many, the one that comes first in the alphabet.
    """
    with gzip.open(mails, "rt", encoding="utf-8") as file:
        read = [json.loads(line) for line in file]
    held = [frozenset(mail["words"].split()) for mail in read]
    y = np.array([mail["label"] == SPAM for mail in read], np.uint8)
    rows = np.arange(len(read))
    parts = _split(b"spamassassin-words", rows, y)
    words = commonest((held[row] for row in parts["x_train"]), count=VOCABULARY)
    x = np.array([[word in mail for word in words] for mail in held])
    kept = np.zeros(len(read), bool)
    kept[_first_of_each(x)] = True
    arrays: Arrays = {}
    for part in ("train", "test"):
        chosen = parts[f"x_{part}"][kept[parts[f"x_{part}"]]]
        arrays[f"x_{part}"], arrays[f"y_{part}"] = np.packbits(x[chosen], axis=-1), y[chosen]
    return arrays, words


def commonest(mails: Iterable[frozenset[str]], *, count: int) -> tuple[str, ...]:
    """The words that are in most mails, the most frequent first."""
    frequency = Counter(word for mail in mails for word in mail)
    ranked = sorted(frequency, key=lambda word: (-frequency[word], word))
    return tuple(ranked[:count])


def _first_of_each(x: NDArray[Any]) -> NDArray[np.int64]:
    """Rows, ascending, without those that repeat an earlier one."""
    return np.sort(np.unique(x, axis=0, return_index=True)[1])


def _distinct(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = _first_of_each(x)
    return x[rows], y[rows]


def _split(name: bytes, x: NDArray[Any], y: NDArray[Any]) -> Arrays:
    """Two thirds to train on, the rest to practise on: classes in proportion, in a drawn order."""
    stream = frozen_stream(b"vendored", name)
    train = stratified_sample(y, size=round(TRAIN_SHARE * len(y)), stream=stream)
    test = np.setdiff1d(np.arange(len(y)), train)
    train, test = stream.permutation(train), stream.permutation(test)
    return {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
