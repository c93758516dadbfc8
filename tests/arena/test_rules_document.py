"""docs/rules.md and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from arena.errors import FaultCode
from arena.games.admission import Rejection
from arena.games.scoring import COLUMNS
from arena.metric_names import NAMES
from arena.ranking.nesting import PERTURBATION_GAMES
from arena.rounds import GameName, Goal, Norm, TargetRule
from arena.threat_model import ThreatModel
from tests.arena.fakes import (
    Array,
    Fakes,
    Linear,
    defense_package,
    differentiable,
    fgsm,
    leave_alone,
    package,
    play,
    spec,
)

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text("utf-8")
KINDS = {"text": "OU", "int": "iu", "float": "f", "bool": "b"}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str, header: str) -> list[list[str]]:
    """The code words of each row's first cell, of the table with that header."""
    table = section(title).partition(f"| {header} |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    return [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in rows if row.startswith("|")]


def words(title: str, header: str) -> list[str]:
    return [word for row in first_cells(title, header) for word in row]


def test_the_outcome_table_lists_the_columns_in_order() -> None:
    assert tuple(words("Outcome record", "column")) == COLUMNS


def test_every_column_is_of_the_type_that_the_table_says() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section("Outcome record"), re.MULTILINE)
    outcome = play(Fakes(fgsm)).outcome
    assert outcome is not None
    assert list(outcome.columns) == [name for name, _ in rows]
    for name, kind in rows:
        assert outcome.columns[name].dtype.kind in KINDS[kind], name


def test_the_vocabularies_are_complete() -> None:
    assert words("Faults", "code") == [code.value for code in FaultCode]
    assert words("Candidates", "reason") == [r.value for r in Rejection if r is not Rejection.NONE]
    assert words("Norms", "norm") == [norm.value for norm in Norm]


class Shy(Linear):
    def predict(self, x: Array, seeds: Array) -> Array:
        shy = np.full((len(x), 1), 9.0)
        return np.concatenate([super().predict(x, seeds), shy], axis=1).astype(np.float32)


def test_every_flag_is_explained() -> None:
    verdict = play(Fakes(leave_alone, Shy), defense=defense_package(abstains=True))
    assert set(verdict.flags) <= set(words("Faults", "flag"))


@pytest.mark.parametrize("game", sorted({*PERTURBATION_GAMES} - {GameName.CERTIFICATION}))
def test_every_metric_is_in_the_table(game: GameName) -> None:
    explained = set(words("Metrics", "name"))
    model = ThreatModel.transfer() if game is GameName.TRANSFER else ThreatModel.white()
    everything = spec(model, game=game, goal=Goal.TARGETED, target_rule=TargetRule.ALL)
    dana = differentiable() if game is not GameName.TRANSFER else defense_package()
    fakes = Fakes(leave_alone, house={"related": Linear})
    house = (package("defense", name="related"),)
    shy = play(Fakes(leave_alone, Shy), everything, defense=defense_package(abstains=True))
    for verdict in (play(fakes, everything, defense=dana, related=house), shy):
        assert verdict.metrics
        for figures in (verdict.metrics, *verdict.curve):
            plain = {re.sub(r"_(low|high)$", "", name) for name in figures}
            assert plain <= explained


def test_every_metric_of_the_table_has_a_name_on_pages_and_in_the_terminal() -> None:
    elsewhere = {"certificate_broken", "epsilon"}  # a finding; the round
    assert set(words("Metrics", "name")) - elsewhere == NAMES.keys()


def test_every_switch_of_the_threat_model_is_explained() -> None:
    names = [switch.name.casefold() for switch in ThreatModel.white().switches()]
    rows = re.findall(r"^\| ([a-z ]+) \|", section("Threat models"), re.MULTILINE)
    short = {"defense structure": "structure", "oracle output": "output"}
    assert rows[1:] == [short.get(name, name) for name in names]
