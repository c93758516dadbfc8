"""The house players held to the figures of the literature: ``python -m arena.calibrate``.

Every line is played by the referee in the jail, like any match. A line names the paper's figure,
the bar that our own measurement set, and what came out with its 95 % Wilson interval; the model
file, target rule and seeds that it hangs on stand under the table. Exit status 1 when a bar is
missed. ``--quick`` plays fewer examples and leaves the slow lines out. ``--json FILE`` keeps the
lines in a file (:mod:`arena.measured`), where those of other bars stay; ``--page FILE`` writes that
file's page.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from arena import measured
from arena.calibrate import attacks, beyond, defenses, full_mnist, games, poisoning
from arena.calibrate.lines import BarError, Laboratory, Line

__all__ = ["BARS", "BarError", "Laboratory", "Line", "main", "measure", "table"]

Bar = Callable[[Laboratory], list[Line]]

ONCE_BEST: Final = {
    "label-smoothing": "",
    "logit-squeezing": "62.4 to 4.1 %",
    "clean-logit-pairing": "",
    "adversarial-logit-pairing": "70.6 to 5.0 %",
}
"""The defenses of D3 to D5, and what became of their figures within the year."""

BARS: Final[tuple[tuple[str, Bar], ...]] = (
    ("A1", attacks.fgsm),
    ("A2", attacks.pgd),
    ("A3", attacks.jsma),
    ("A4", attacks.carlini_wagner),
    ("A5", attacks.substitute),
    ("A6", attacks.transfer),
    ("A7", games.backdoor),
    ("A7", poisoning.outliers),
    ("A7", poisoning.bound),
    ("A7", poisoning.chosen),
    ("A7", poisoning.streams),
    ("A8", games.good_words),
    ("A9", games.theft),
    ("A10", attacks.adaptive),
    ("A11", games.replay),
    ("A11", beyond.spatial),
    ("A11", beyond.patch),
    ("A11", beyond.corruptions),
    ("A12", attacks.audit),
    ("D0", partial(defenses.baseline, defense="logistic-regression", least=0.88)),
    ("D0", partial(defenses.baseline, defense="cnn", least=0.94)),
    ("D0", partial(defenses.baseline, defense="nearest-neighbour", least=0.86)),
    ("D0", partial(defenses.baseline, defense="decision-tree", least=0.70)),
    ("D0", partial(defenses.baseline, defense="support-vector-machine", least=0.90)),
    ("D1", defenses.adversarial_training),
    ("D2", defenses.wasserstein),
    *(
        ("D3-D5", partial(defenses.once_best, defense=defense, paper=paper))
        for defense, paper in ONCE_BEST.items()
    ),
    ("D6", defenses.smoothing),
    ("D7", defenses.discretisation),
    ("D8", defenses.interval_bounds),
    ("D8", games.certificates),
    ("D9", poisoning.sanitised),
    ("D10", poisoning.spectral),
    ("D11", defenses.robust_neighbour),
    ("D12", defenses.virtual_adversarial),
    ("D13", games.anti_theft),
    ("D14", defenses.uncertain),
    ("D15", defenses.distillation),
    ("mnist", full_mnist.black_box),
    ("mnist", full_mnist.white_box),
    ("mnist-robust", full_mnist.adversarial_training),
    ("S1", games.attacker_first),
    ("T1", games.trends),
)
QUICK: Final = ("A1", "A2", "A3", "D7")
FULL: Final = ("mnist", "mnist-robust")
"""They train on all of MNIST, which is not shipped."""


def measure(ids: Sequence[str], *, examples: int, say: Callable[[str], None] = print) -> list[Line]:
    """The lines of these bars, in order; what could not be played is a line that does not hold."""
    lab = Laboratory(examples, say=say)
    lines: list[Line] = []
    for id_, bar in (bar for bar in BARS if bar[0] in ids):
        start = time.monotonic()
        try:
            found = bar(lab)
        except BarError as error:
            found = [Line(id_, "", "", "is played", str(error), None, False, "")]
        spent = round((time.monotonic() - start) / len(found), 1)
        day = datetime.now(UTC).date().isoformat()
        lines += [replace(line, seconds=spent, group=id_, measured_on=day) for line in found]
    return lines


def table(lines: Sequence[Line]) -> str:
    """The lines in columns, then what each hangs on."""
    head = ("", "method", "paper", "bar", "measured", "95 %", "s", "")
    rows = [head] + [
        (
            line.id,
            line.method,
            line.paper,
            line.bar,
            line.measured,
            "" if line.interval is None else f"{line.interval[0]:.3f}-{line.interval[1]:.3f}",
            f"{line.seconds:.0f}",
            "holds" if line.held else "MISSED",
        )
        for line in lines
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    notes = [f"{line.id} {line.method}: {line.setting}" for line in lines if line.setting]
    return "\n".join([*(row.rstrip() for row in text), "", *notes])


def main(arguments: Sequence[str] | None = None) -> int:
    every = list(dict.fromkeys(id_ for id_, _ in BARS))
    parser = argparse.ArgumentParser(prog="python -m arena.calibrate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer examples, no slow lines")
    parser.add_argument(
        "--only", metavar="ID", action="append", help=f"of {', '.join(every)}; may be repeated"
    )
    parser.add_argument("--examples", type=int, help="examples a match (200; 40 when quick)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the lines there too")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write that file's page there")
    options = parser.parse_args(arguments)
    examples = options.examples or (40 if options.quick else 200)
    for id_ in options.only or ():
        if id_ not in every:
            parser.error(f"there is no bar {id_!r}; bars are {', '.join(every)}")
    if options.page and not options.json:
        parser.error("--page shows what --json keeps: give both.")
    kept = _kept(options.json)
    ids = options.only or (QUICK if options.quick else every)
    if set(ids) & set(FULL) and not full_mnist.there():
        remedy = "All of MNIST is not here: run `arena tasks import mnist --from FOLDER`."
        if options.only:
            parser.error(remedy)
        _progress(f"{remedy} Its bars are left out.")
        ids = [id_ for id_ in ids if id_ not in FULL]
    lines = measure(ids, examples=examples, say=_progress)
    sys.stdout.write(table(lines) + "\n")
    if options.json:
        kept = measured.merged(kept, lines, order=every)
        measured.write(options.json, kept)
    if options.page:
        options.page.write_text(measured.page(kept), "utf-8")
    return 0 if all(line.held for line in lines) else 1


def _kept(file: Path | None) -> list[Line]:
    """What the file holds already; looked at before anything is played."""
    if file is None or not file.exists():
        return []
    try:
        return measured.read(file)
    except measured.MeasuredError as error:
        sys.exit(f"{error} Or move the file away.")


def _progress(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")
