"""The calibration: it plays through the jail, tells what was missed, and its status says so."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arena import calibrate, house, measured
from arena.calibrate import Line, attacks

LINE = Line("A1", "FGSM", "99.9 %", "≥ 96 %", "97.0 %", (0.94, 0.99), True, "cnn, seed 1")


def test_the_table_names_paper_bar_measurement_interval_and_setting() -> None:
    text = calibrate.table([LINE, replace(LINE, id="A2", held=False)])
    assert "99.9 %  ≥ 96 %  97.0 %    0.940-0.990" in text
    assert text.splitlines()[1].endswith("holds")
    assert text.splitlines()[2].endswith("MISSED")
    assert "A1 FGSM: cnn, seed 1" in text


@pytest.mark.parametrize(("held", "status"), [(True, 0), (False, 1)])
def test_a_missed_bar_makes_the_exit_status_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, held: bool, status: int
) -> None:
    bars = (("A1", lambda _lab: [replace(LINE, held=held)]),)
    monkeypatch.setattr(calibrate, "BARS", bars)
    out, page = tmp_path / "lines.json", tmp_path / "page.md"
    assert calibrate.main(["--json", str(out), "--page", str(page)]) == status
    (line,) = measured.read(out)
    assert (line.held, line.group) == (held, "A1")
    assert page.read_text() == measured.page([line])


def test_one_bar_renews_its_lines_in_the_file_and_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "lines.json"
    measured.write(out, [replace(LINE, group="A1"), replace(LINE, id="A2", group="A2")])
    fresh = replace(LINE, id="A2", measured="99.0 %")
    monkeypatch.setattr(calibrate, "BARS", (("A1", lambda _: []), ("A2", lambda _: [fresh])))
    calibrate.main(["--only", "A2", "--json", str(out)])
    assert [line.measured for line in measured.read(out)] == ["97.0 %", "99.0 %"]


def test_several_bars_are_played_in_one_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "lines.json"
    lines = [replace(LINE, id=id_) for id_ in ("A1", "A2", "A3")]
    bars = tuple((line.id, lambda _, line=line: [line]) for line in lines)
    monkeypatch.setattr(calibrate, "BARS", bars)
    calibrate.main(["--only", "A1", "--only", "A3", "--json", str(out)])
    assert [line.id for line in measured.read(out)] == ["A1", "A3"]


def test_its_module_runs_nothing_when_it_is_imported() -> None:
    module = importlib.import_module("arena.calibrate.__main__")
    assert module.main is calibrate.main


def test_a_file_that_holds_something_else_is_found_before_anything_is_played(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def played(_lab: calibrate.Laboratory) -> list[Line]:
        raise AssertionError("it was played")

    monkeypatch.setattr(calibrate, "BARS", (("A1", played),))
    (tmp_path / "notes.json").write_text("[]")
    with pytest.raises(SystemExit, match="move the file away"):
        calibrate.main(["--json", str(tmp_path / "notes.json")])


def test_an_unknown_bar_is_answered_with_the_bars_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        calibrate.main(["--only", "Z9"])
    assert "A1, A2" in capsys.readouterr().err


def test_a_bar_that_cannot_be_played_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_lab: calibrate.Laboratory) -> list[Line]:
        raise calibrate.BarError("PGD: forfeited.")

    monkeypatch.setattr(calibrate, "BARS", (("A2", fails),))
    (line,) = calibrate.measure(["A2"], examples=10)
    assert not line.held
    assert line.measured == "PGD: forfeited."


def test_order_is_broken_only_by_intervals_that_part() -> None:
    assert attacks.in_order([(0.8, 0.9), (0.85, 0.95), (0.1, 0.2)])
    assert not attacks.in_order([(0.1, 0.2), (0.85, 0.95)])


def test_the_optimum_of_a_linear_model_moves_every_pixel_against_the_label() -> None:
    weight = np.array([[0.0, 0.0], [2.0, -1.0]], np.float32)
    bias = np.zeros(2, np.float32)
    x = np.array([[0.5, 0.5], [0.0, 1.0]], np.float32)
    margins = attacks.linear_margins(weight, bias, x, np.array([1, 0]), 0.1)
    assert margins == pytest.approx([0.5 - 0.3, 1.0 - 0.3], abs=1e-6)


def test_a_variant_of_a_house_attack_is_the_same_player_with_other_figures() -> None:
    plain, other = house.package("ensemble-transfer", "mnist5k"), attacks.linear_source()
    assert other.files["player.py"] == plain.files["player.py"]
    assert other.manifest.entry == "variant.py:Variant"
    assert b"families = ('linear',)" in other.files["variant.py"]
    assert other.sha256 != plain.sha256


@pytest.mark.jail
def test_the_quick_bars_hold() -> None:
    lines = calibrate.measure(["A1", "A2"], examples=30)
    assert [line.id for line in lines] == ["A1", "A2", "A2", "A2"]
    assert all(line.held for line in lines), calibrate.table(lines)


def test_the_bars_of_all_of_mnist_are_left_out_where_it_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADVERSARIUM_DATA", str(tmp_path))
    monkeypatch.setattr(calibrate, "BARS", (("A1", lambda _: [LINE]), ("mnist", lambda _: [])))
    with pytest.raises(SystemExit):
        calibrate.main(["--only", "mnist"])
    assert "arena tasks import mnist" in capsys.readouterr().err
    assert calibrate.main([]) == 0
    assert "left out" in capsys.readouterr().err
