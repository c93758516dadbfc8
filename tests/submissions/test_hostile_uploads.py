"""Mallory uploads: each archive of the hostile suite, through the door that everybody uses.

``arena/hostile/archives.py`` builds them; ``arena sandbox attack --case 31`` reads them without a
site. Here is what the site does with them: nothing is kept, nothing is counted, and pages that show
what was in them show text.
"""

from __future__ import annotations

import io
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import Team, User
from arena.hostile.archives import ARCHIVES, FILES, MANIFEST, Archive, with_manifest, zipped
from events.errors import Invalid
from events.models import Event
from submissions import selectors, services
from submissions.models import Submission
from submissions.states import SubmissionState

REFUSED = [archive for archive in ARCHIVES if archive.refused]
TAKEN = [archive for archive in ARCHIVES if not archive.refused]
MARKUP = '"><b id=pwned onclick=alert(1)><script>alert(2)</script>'
ESCAPES = "\x1b]0;pwned\x07\x1b[2J\r\x00\u202eevil\u2066"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files of an upload go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def everything_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# --- archives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("archive", REFUSED, ids=lambda archive: archive.id)
def test_a_hostile_archive_costs_nothing_and_leaves_nothing(
    archive: Archive, team: Team, mallory: User, settings: Any, scratch: Path
) -> None:
    own = mallory.teams.get()
    before = selectors.quota(own)
    with pytest.raises(Invalid) as refused:
        services.submit(team=own, user=mallory, archive=io.BytesIO(archive.build()))
    sentence = str(refused.value)
    assert sentence.endswith(".")
    assert sentence.isprintable()
    assert len(sentence) <= 400
    assert not Submission.objects.exists()
    assert not Event.objects.filter(kind__startswith="submission").exists()
    assert selectors.quota(own) == before
    assert everything_below(scratch) == []
    assert everything_below(settings.DATA) == []


@pytest.mark.parametrize("archive", TAKEN, ids=lambda archive: archive.id)
def test_what_only_looks_hostile_is_kept_as_it_is(
    archive: Archive, team: Team, dana: User, scratch: Path
) -> None:
    submission, created = services.submit(team=team, user=dana, archive=io.BytesIO(archive.build()))
    assert created
    assert submission.state == SubmissionState.QUEUED
    assert everything_below(scratch) == []


def test_nothing_is_ever_unpacked_onto_the_disk(
    team: Team, dana: User, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one file that an upload writes is the upload; the store gets a zip packed anew."""
    written: list[str] = []
    opened = Path.open

    def watched(self: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if set(mode) & set("wax+"):
            written.append(self.name)
        return opened(self, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", watched)
    services.submit(team=team, user=dana, archive=io.BytesIO(zipped(FILES)))
    assert written == ["upload.zip"]


@pytest.mark.parametrize("named", [b'task = "atlantis"', b'task = "a.b"', b'tasks = ["x", "y"]'])
def test_a_manifest_for_tasks_that_nobody_knows_is_refused(
    team: Team, dana: User, named: bytes
) -> None:
    with pytest.raises(Invalid, match="There is no task"):
        services.submit(
            team=team, user=dana, archive=io.BytesIO(with_manifest(MANIFEST + named + b"\n"))
        )


def test_the_first_task_that_is_known_is_the_one_to_be_qualified_on(team: Team, dana: User) -> None:
    archive = io.BytesIO(with_manifest(MANIFEST + b'tasks = ["atlantis", "digits"]\n'))
    assert services.submit(team=team, user=dana, archive=archive).submission.task == "digits"


# --- pages --------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """Every start tag with its attributes, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def injected(page: str) -> list[str]:
    """Elements that no template of ours makes."""
    elements = Elements()
    elements.feed(page)
    return [
        f"<{tag} {attributes}>"
        for tag, attributes in elements.found
        if attributes.get("id") == "pwned"
        or any(name.startswith("on") for name in attributes)
        or (tag == "script" and not {"src", "type"} & set(attributes))
    ]


def quoted(text: str) -> bytes:
    """As a TOML string."""
    return text.replace("\\", "\\\\").replace('"', '\\"').encode()


@pytest.fixture
def dressed_up(team: Team, dana: User) -> Submission:
    """A package that says in markup whatever may be said in words."""
    manifest = (
        b'schema_version = 1\nrole = "defense"\nentry = "player.py:Player"\ntask = "digits"\n'
        b'name = "' + quoted(MARKUP) + b'"\n'
        b'family = "' + quoted(MARKUP) + b'"\n'
        b'description = "' + quoted(MARKUP * 9) + b'"\n'
    )
    archive = zipped({"manifest.toml": manifest, "player.py": b"class Player: ..."})
    return services.submit(team=team, user=dana, archive=io.BytesIO(archive)).submission


def rejected(submission: Submission, settings: Any) -> None:
    """Found wanting, with figures, a sentence and a log as a player might want them to look."""
    log = settings.DATA / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"{MARKUP}\n{ESCAPES}\n{MARKUP}")
    Submission.objects.filter(pk=submission.pk).update(
        state=SubmissionState.REJECTED,
        sentence=MARKUP,
        figures={MARKUP: MARKUP, "nested": {"rows": [{"name": MARKUP}]}},
        log="log.txt",
    )


def test_pages_show_markup_of_names_manifests_and_logs_as_text(
    dressed_up: Submission, dana: User, settings: Any, client: Client
) -> None:
    rejected(dressed_up, settings)
    client.force_login(dana, backend="accounts.backends.UsernameOrEmail")
    settings.MIDDLEWARE = [m for m in settings.MIDDLEWARE if "whitenoise" not in m]
    for path in (
        "/submissions/",
        "/parts/submissions/",
        f"/submissions/{dressed_up.uid}/",
        f"/parts/submissions/{dressed_up.uid}/",
    ):
        response = client.get(path)
        assert response.status_code == 200, path
        page = response.content.decode()
        assert injected(page) == [], path
        assert "&lt;b id=pwned" in page, path
        assert "script-src 'unsafe" not in response["Content-Security-Policy"]
        assert response["X-Content-Type-Options"] == "nosniff"
        assert not set("\x1b\x07\x00\u202e\u2066") & set(page), path


def test_logs_are_downloads_of_plain_text(
    dressed_up: Submission, dana: User, settings: Any, client: Client
) -> None:
    rejected(dressed_up, settings)
    client.force_login(dana, backend="accounts.backends.UsernameOrEmail")
    response = client.get(f"/submissions/{dressed_up.uid}/log.txt")
    assert response["Content-Type"].startswith("text/plain")
    assert response["Content-Disposition"].startswith("attachment")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert not set("\x1b\x07\x00\u202e\u2066") & set(response.content.decode())


def test_the_refusal_of_an_upload_shows_what_was_in_it_as_text(
    team: Team, dana: User, settings: Any, client: Client
) -> None:
    settings.MIDDLEWARE = [m for m in settings.MIDDLEWARE if "whitenoise" not in m]
    client.force_login(dana, backend="accounts.backends.UsernameOrEmail")
    for name in ("<b id=pwned>.py", "\x1b[2J.py", "a\u202eb.py"):
        upload = io.BytesIO(zipped({**FILES, name: b""}))
        upload.name = f"{MARKUP}.zip"
        response = client.post("/submissions/new/", {"archive": upload, "team": team.pk})
        page = response.content.decode()
        assert response.status_code == 422
        assert injected(page) == []
        assert "not allowed as a file name" in page
        assert not set("\x1b\u202e") & set(page)


def test_the_parser_of_this_file_sees_what_would_be_injected() -> None:
    assert len(injected(f"<p>{MARKUP}</p>")) == 2
    assert injected('<script src="/static/x.js"></script><p>&lt;b id=pwned&gt;</p>') == []
