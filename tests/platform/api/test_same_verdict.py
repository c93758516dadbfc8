"""A package written from the documentation gets one verdict, on the site and at a terminal."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from arena.cli import run
from arena.cli.exits import ExitCode
from arena.packages import Package
from submissions import work
from submissions.models import Submission
from tournaments import claims, running
from tournaments.models import Match, Tournament
from web.figures import percent

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
def test_the_pages_the_api_and_the_command_line_find_the_same(
    alice: Any, dana: Any, spring: Tournament, project_root: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Alice sends it over the API; Dana, of another team, uploads the same bytes on the page."""
    folder = written(project_root, "my-attack", tmp_path / "mine")
    archive = Package.read(folder).to_zip()
    uid = alice.submit(archive, task="digits").json()["id"]
    browser, address = uploads(dana, archive)
    for _ in range(2):
        submission = work.claim(worker="test")
        assert submission is not None
        work.qualify(submission)
    told = alice.get(f"submissions/{uid}/").json()
    assert told["state"] == "qualified", told["sentence"]
    assert told["sentence"] in html.unescape(browser.get(address).content.decode())
    capsys.readouterr()
    assert run(["qualify", str(folder), "--task", "digits", "--json"]) == ExitCode.OK
    here = json.loads(capsys.readouterr().out)
    assert here["sentence"].startswith("Qualified")
    for row in Submission.objects.all():
        assert row.figures["friendly"].keys() == here["figures"]["friendly"].keys()

    entry = alice.post("entries/", {"tournament": "spring", "submission": uid}).json()["id"]
    while (match := claims.claim(worker="test")) is not None:
        running.play(match)
    played = Match.objects.select_related("round", "verdict")
    match = played.get(attack__uid=entry)
    twin = played.get(attack__team=dana.team)
    assert match.state == twin.state == "scored", match.sentence or twin.sentence
    assert match.seed == twin.seed

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
    same = without_clocks(local["provenance"])
    for found in (match, twin):
        assert found.verdict.metrics == local["metrics"]
        assert without_clocks(found.verdict.provenance) == same
    assert match.verdict.kills == twin.verdict.kills
    page = browser.get(f"/matches/{twin.uid}/").content.decode()
    assert percent(local["metrics"]["attack_success_rate"]) in page


def uploads(person: Any, archive: bytes) -> tuple[Client, str]:
    """The form of the page, as a browser posts it; what it leads to is the submission's page."""
    browser = Client()
    browser.force_login(person.user, backend="accounts.backends.UsernameOrEmail")
    form = {
        "archive": SimpleUploadedFile("mine.zip", archive, "application/zip"),
        "team": person.team.pk,
        "task": "digits",
        "tournament": "spring",
        "terms": "on",
    }
    answer = browser.post("/submissions/new/", form)
    assert answer.status_code == 302, answer.content.decode()
    return browser, answer["Location"]


def without_clocks(provenance: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in provenance.items() if key not in CLOCKS}
