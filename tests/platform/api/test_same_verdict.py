"""A package written from the documentation gets one verdict, on the site and at a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from arena.cli import run
from arena.cli.exits import ExitCode
from arena.packages import Package
from submissions import work
from submissions.models import Submission
from tournaments import claims, running
from tournaments.models import Match, Tournament

CLOCKS = ("elapsed", "seconds")


def written(root: Path, name: str, folder: Path) -> Path:
    """The package of that name, as docs/writing-a-submission.md has it."""
    page = (root / "docs" / "writing-a-submission.md").read_text()
    folder.mkdir()
    for file, content in re.findall(
        rf"\*\*{name}/([\w.]+)\*\*\n\n```\w+\n(.*?)```", page, re.DOTALL
    ):
        (folder / file).write_text(content)
    return folder


@pytest.mark.slow
@pytest.mark.jail
@pytest.mark.django_db(transaction=True)
def test_the_site_and_the_command_line_find_the_same(
    alice: Any, spring: Tournament, project_root: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = written(project_root, "my-attack", tmp_path / "mine")
    uid = alice.submit(Package.read(folder).to_zip(), task="digits").json()["id"]
    submission = work.claim(worker="test")
    assert submission is not None
    work.qualify(submission)
    told = alice.get(f"submissions/{uid}/").json()
    assert told["state"] == "qualified", told["sentence"]
    capsys.readouterr()
    assert run(["qualify", str(folder), "--task", "digits", "--json"]) == ExitCode.OK
    here = json.loads(capsys.readouterr().out)
    assert here["sentence"].startswith("Qualified")
    assert Submission.objects.get().figures["friendly"].keys() == here["figures"]["friendly"].keys()

    entry = alice.post("entries/", {"tournament": "spring", "submission": uid}).json()["id"]
    while (match := claims.claim(worker="test")) is not None:
        running.play(match)
    match = Match.objects.select_related("round", "verdict").get(attack__uid=entry)
    assert match.state == "scored", match.sentence

    spec = tmp_path / "round.json"
    spec.write_text(json.dumps(alice.get(f"rounds/{match.round.uid}/").json()))
    arguments = ["play", "house:cnn", str(folder), "--round", str(spec), "--json"]
    arguments += ["--seed", str(match.seed), "--secret", bytes(match.round.secret).hex()]
    arguments += ["--split-secret", bytes(spring.secret).hex()]
    assert run(arguments) == ExitCode.OK
    local = json.loads(capsys.readouterr().out)
    served = alice.get(f"matches/{match.uid}/").json()
    assert served["verdict"]["metrics"] == local["metrics"]
    assert served["curve"] == local["curve"]
    assert local["metrics"]["attack_success_rate"] > 0
    stored = dict(match.verdict.provenance)
    for clock in CLOCKS:
        stored.pop(clock)
        local["provenance"].pop(clock)
    assert stored == local["provenance"]
