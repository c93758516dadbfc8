"""What a calibration found, kept: merged bar by bar, refused with the remedy, one page of docs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from arena import measured
from arena.calibrate import BARS
from arena.measured import Line, MeasuredError

FGSM = Line("A1", "FGSM", "99.9 %", "≥ 96 %", "97.0 %", (0.94, 0.99), True, "cnn, seed 1",
            group="A1", measured_on="2026-01-02")  # fmt: skip
PGD = replace(FGSM, id="A2", method="PGD", group="A2", interval=None)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    measured.write(tmp_path / "lines.json", [FGSM, PGD])
    assert measured.read(tmp_path / "lines.json") == [FGSM, PGD]


def test_a_run_replaces_the_lines_of_its_bars_and_keeps_the_others_in_order() -> None:
    old = [FGSM, replace(FGSM, method="FGSM, dropped"), PGD]
    new = replace(FGSM, measured="98.0 %")
    assert measured.merged(old, [new], order=("A2", "A1")) == [PGD, new]


def test_lines_of_a_bar_that_is_no_more_are_dropped() -> None:
    assert measured.merged([FGSM, PGD], [], order=("A2",)) == [PGD]


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (None, "make calibrate"),
        ("{", "calibrate anew"),
        ("[]", "no calibration of version 1"),
        ('{"schema_version": 2, "lines": []}', "no calibration of version 1"),
        ('{"schema_version": 1, "lines": [{"id": "A1"}]}', "a line that is none"),
        ('{"schema_version": 1, "lines": [{"id": "A1", "interval": [0]}]}', "a line that is none"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_remedy(
    tmp_path: Path, content: str | None, remedy: str
) -> None:
    file = tmp_path / "lines.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(MeasuredError, match=remedy):
        measured.read(file)


def test_the_page_says_what_was_missed_and_what_a_figure_hangs_on() -> None:
    missed = replace(PGD, held=False, why="another net | so far")
    page = measured.page([FGSM, missed])
    assert "1 of 2 bars hold, measured on 2026-01-02." in page
    assert "| A1 | FGSM | 99.9 % | ≥ 96 % | 97.0 % | 94.0 to 99.0 % |" in page
    assert "**missed** | cnn, seed 1; another net \\| so far |" in page


def test_the_documented_page_is_that_of_the_shipped_file(project_root: Path) -> None:
    lines = measured.read(measured.SHIPPED)
    assert (project_root / "docs" / "calibration.md").read_text("utf-8") == measured.page(lines), (
        "Write it anew: python -m arena.calibrate --only ID --json arena/measured.json "
        "--page docs/calibration.md"
    )


def test_every_shipped_line_comes_from_a_bar_and_names_its_setting() -> None:
    bars = {id_ for id_, _ in BARS}
    lines = measured.read(measured.SHIPPED)
    assert {line.group for line in lines} <= bars
    assert all(line.setting and line.bar and line.measured_on for line in lines)
