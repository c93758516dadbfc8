"""``make bench``: every table, on this machine, now."""

from __future__ import annotations

import argparse
import os

from rich.console import Console
from rich.table import Table

from benchmarks import matches, oracle


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="runs of each question (default 20)")
    parser.add_argument("--match-runs", type=int, default=3, help="runs of each match (default 3)")
    options = parser.parse_args()
    console = Console()
    load = os.getloadavg()[0]
    console.print(f"{os.cpu_count()} cores, load {load:.1f}. Read least as the limit.")
    console.print(_questions(options.runs))
    console.print(_matches(options.match_runs))


def _questions(runs: int) -> Table:
    table = Table(title="A question through the jail, beside the same call in one process (ms)")
    for column in ("question", "least", "median", "p95", "bare least", "ratio"):
        table.add_column(column, justify="left" if column == "question" else "right")
    for name, jailed, bare in oracle.measure(runs=runs):
        cells = [jailed.least, jailed.median, jailed.p95, bare.least]
        ratio = jailed.least / bare.least
        table.add_row(name, *(f"{1000 * s:.2f}" for s in cells), f"{ratio:.2f}")
    return table


def _matches(runs: int) -> Table:
    table = Table(title="Whole matches, and the bare loop of the last one (s)")
    for column in ("work", "least", "median"):
        table.add_column(column, justify="left" if column == "work" else "right")
    for name, seconds in matches.measure(runs=runs):
        table.add_row(name, f"{seconds.least:.2f}", f"{seconds.median:.2f}")
    return table


if __name__ == "__main__":
    main()
