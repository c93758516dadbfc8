"""What is committed stands on its own: no machine's paths, no dead targets, no data left out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

# Written in pieces, so that this file does not accuse itself.
PLACES = "|".join(
    (
        r"(?<![\w.$}])/" + "work/",
        r"(?<![\w.$}])/" + "root/",
        r"(?<![\w/.-])(?:\.\./)?" + "shared/",
        "/opt/" + "(?:wheels|pypi)",
        "/farm" + "/",
    )
)
SITE = ("accounts", "api", "config", "events", "leaderboard", "tournaments", "web")


@pytest.fixture(scope="module")
def committed(project_root: Path) -> list[Path]:
    """Tracked files, relative to the root."""
    if not shutil.which("git") or not (project_root / ".git").exists():
        pytest.skip("needs a git checkout")
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=project_root, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    files = [Path(name) for name in listing.split("\0") if name]
    return [file for file in files if (project_root / file).is_file()]


def text_of(file: Path) -> str:
    content = file.read_bytes()
    return "" if b"\0" in content[:8192] else content.decode(errors="replace")


def test_no_file_names_a_place_of_one_machine(project_root: Path, committed: list[Path]) -> None:
    found = [
        f"{file}:{number}: {line.strip()[:100]}"
        for file in committed
        if file.parts[0] != "tests"
        for number, line in enumerate(text_of(project_root / file).splitlines(), start=1)
        if re.search(PLACES, line)
    ]
    assert not found, "\n".join(found)


def test_every_make_target_the_documents_name_exists(project_root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (project_root / "Makefile").read_text(), re.MULTILINE))
    pages = [project_root / "README.md", *(project_root / "docs").glob("*.md")]
    named = {
        (page.name, target)
        for page in pages
        for target in re.findall(
            r"(?:`|^\s*)(?:\$ )?make ([a-z-]+)", page.read_text(), re.MULTILINE
        )
    }
    assert not {(page, target) for page, target in named if target not in targets}


@pytest.mark.slow
def test_a_wheel_has_every_package_and_its_data(
    project_root: Path, committed: list[Path], tmp_path: Path
) -> None:
    for file in committed:
        if file.parts[0] != "tests":
            (tmp_path / "tree" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project_root / file, tmp_path / "tree" / file)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--no-index", "-w", str(tmp_path / "out"), str(tmp_path / "tree")],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next((tmp_path / "out").glob("*.whl"))) as wheel:
        packed = set(wheel.namelist())
    wanted = {
        str(file.relative_to("platform") if file.parts[0] == "platform" else file)
        for file in committed
        if file.parts[0] in ("arena", "submissions")
        or (file.parts[0] == "platform" and file.parts[1] in SITE)
    }
    assert not wanted - packed, "left out of the wheel (pyproject.toml, package-data)"
    tops = {name.split("/")[0] for name in packed if ".dist-info/" not in name}
    assert tops <= {"arena", "submissions", *SITE}
