"""Uploads on the pages: what is refused, where a package may enter, whose place it takes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from accounts.models import Team
from arena.cli import verdicts
from arena.manifest import Needs, Role
from arena.rounds import GameName, RoundSpec, threat_model_for
from arena.threat_model import ThreatModel
from submissions.models import Submission
from tests.platform.web.reading import Browser, text_of, words_of
from tests.platform.web.seeding import World, submitted
from tournaments import services
from tournaments.models import Entry, Match
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import EntryState, Phase
from web.figures import METRICS, figures, plain_figures

MANIFEST = b'schema_version = 1\nname = "Mean"\nrole = "defense"\nentry = "player.py:Mean"\n'


def archive(**files: bytes) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in (
            {"manifest.toml": MANIFEST, "player.py": b"class Mean: ..."} | files
        ).items():
            packed.writestr(name, content)
    buffer.seek(0)
    buffer.name = "mean.zip"
    return buffer


def test_an_upload_enters_the_tournament_at_once(world: World, as_: Browser) -> None:
    team = Team.objects.create(name="New")
    team.memberships.create(user=world.charlie, role="member")
    data = {"archive": archive(), "team": team.pk, "tournament": "spring", "terms": "on"}
    response = as_(world.charlie).post("/submissions/new/", data)
    submission = Submission.objects.get(team=team)
    assert response["Location"] == f"/submissions/{submission.uid}/"
    entry = Entry.objects.get(submission=submission)
    assert entry.state == EntryState.WAITING
    assert entry.terms_version == "1"


def test_what_was_uploaded_long_ago_is_on_a_later_page_and_stays_there(
    world: World, as_: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the page looks again, since something happened."""
    monkeypatch.setattr("web.pages.tournaments.A_PAGE", 2)
    for name in ("Oldest", "Older", "Newest"):
        submitted(world.outsiders, world.charlie, name, Role.ATTACK)
    charlie = as_(world.charlie)
    first, second = charlie.get("/submissions/"), charlie.get("/submissions/?page=2")
    for name, shown in (("Newest", first), ("Older", first), ("Oldest", second)):
        assert name in text_of(shown)
        assert name not in text_of(second if shown is first else first)
    assert 'href="/submissions/?page=2"' in first.content.decode()
    assert 'hx-get="/parts/submissions/?page=2"' in second.content.decode()
    assert "Oldest" in text_of(charlie.get("/parts/submissions/?page=2"))


def test_a_package_is_offered_the_tournaments_that_have_a_round_for_it(
    world: World, as_: Browser
) -> None:
    dana = as_(world.dana)
    shield = submitted(world.defenders, world.dana, "Another shield", Role.DEFENSE)
    thief = submitted(world.defenders, world.dana, "A thief", Role.THIEF)
    offer = f"Enter in {world.tournament.title}"
    assert offer in text_of(dana.get(f"/submissions/{shield.uid}/"))
    assert offer not in text_of(dana.get(f"/submissions/{thief.uid}/"))
    page = text_of(dana.get(f"/tournaments/{world.tournament.slug}/entries/"))
    assert "Another shield" in page
    assert "A thief" not in page
    terms = {"submission": thief.uid, "terms": "on"}
    refused = dana.post(f"/tournaments/{world.tournament.slug}/enter/", terms, follow=True)
    assert "No round of this tournament is made for this thief. " in text_of(refused)
    assert "White box: The evasion game is attacked by a player of role attack." in text_of(refused)


def test_a_learner_of_classes_is_not_offered_a_tournament_about_trends(
    world: World, as_: Browser
) -> None:
    game = GameName.TREND_POISONING
    rules = RoundSpec(
        game=game,
        task="ice-cover",
        threat_model=threat_model_for(game, ThreatModel.white()),
        epsilons=(0.1,),
        examples=4,
    )
    ice = services.create(
        TournamentPlan("Ice", "ice-cover", (RoundPlan("Trends", rules),), slug="ice"),
        organizer=world.oscar,
    )
    services.move(tournament=ice, to=Phase.OPEN, organizer=world.oscar)
    dana, trends = as_(world.dana), Needs(games=(game.value,))
    plain = submitted(world.defenders, world.dana, "A learner", Role.LEARNER)
    line = submitted(world.defenders, world.dana, "A line", Role.LEARNER, needs=trends)
    assert "Enter in Ice" not in text_of(dana.get(f"/submissions/{plain.uid}/"))
    assert "Enter in Ice" in text_of(dana.get(f"/submissions/{line.uid}/"))
    page = text_of(dana.get("/tournaments/ice/entries/"))
    assert "A line" in page
    assert "A learner" not in page
    sent = {"submission": plain.uid, "terms": "on"}
    refused = text_of(dana.post("/tournaments/ice/enter/", sent, follow=True))
    assert "Trends: The learner estimates no trends; one that does names trend_poisoning" in refused


def test_whose_place_an_entry_takes_is_said_before_and_after(world: World, as_: Browser) -> None:
    dana, slug = as_(world.dana), world.tournament.slug
    old = Entry.objects.get(team=world.defenders, player="defense", state=EntryState.ACTIVE)
    some = list(Match.objects.filter(defense=old).values_list("pk", flat=True)[:2])
    left = Match.objects.filter(pk__in=some).update(state="pending")
    assert left == 2
    newer = submitted(world.defenders, world.dana, "Another shield", Role.DEFENSE)
    place = f"<strong>{old.name}</strong>, defense of {old.team_name} in {world.tournament.title}"
    for address in (
        "/submissions/new/",
        f"/submissions/{newer.uid}/",
        f"/tournaments/{slug}/entries/",
    ):
        told = text_of(dana.get(address))
        assert "A newer entry supersedes yours of the same role" in told, address
        assert place in told, address
        assert f"{left} matches not played yet" in told, address
    answer = dana.post(
        f"/tournaments/{slug}/enter/", {"submission": newer.uid, "terms": "on"}, follow=True
    )
    told = text_of(answer)
    said = (
        f"Another shield supersedes {old.name} in {world.tournament.title}. {old.name} had {left} "
    )
    assert said + "matches still to play" in told
    assert Match.objects.filter(defense=old, state="cancelled").count() == left


def test_an_upload_says_whose_place_it_takes_once_it_has_qualified(
    world: World, as_: Browser
) -> None:
    old = Entry.objects.get(team=world.defenders, player="defense", state=EntryState.ACTIVE)
    data = {
        "archive": archive(), "team": world.defenders.pk, "tournament": "spring", "terms": "on"
    }  # fmt: skip
    told = text_of(as_(world.dana).post("/submissions/new/", data, follow=True))
    assert f"supersedes {old.name} in {world.tournament.title} once it has qualified" in told
    old.refresh_from_db()
    assert old.state == EntryState.ACTIVE


def test_nothing_is_said_of_places_that_nobody_takes(world: World, as_: Browser) -> None:
    charlie = as_(world.charlie)
    assert "A newer entry" not in text_of(charlie.get("/submissions/new/"))
    dana = as_(world.dana)
    spear = submitted(world.defenders, world.dana, "A spear", Role.ATTACK)
    page = text_of(dana.get(f"/submissions/{spear.uid}/"))
    assert f"Enter in {world.tournament.title}" in page
    assert "A newer entry" not in page


def test_an_upload_that_the_tournament_refuses_is_kept_and_told_why(
    world: World, as_: Browser
) -> None:
    thief = MANIFEST.replace(b'"defense"', b'"thief"')
    data = {
        "archive": archive(**{"manifest.toml": thief}),
        "team": world.outsiders.pk,
        "tournament": "spring",
        "terms": "on",
    }
    response = as_(world.charlie).post("/submissions/new/", data, follow=True)
    submission = Submission.objects.get(team=world.outsiders)
    assert response.redirect_chain[-1][0] == f"/submissions/{submission.uid}/"
    told = text_of(response)
    assert "The package is here, but not in Spring league on MNIST. No round of this" in told
    assert not Entry.objects.filter(submission=submission).exists()


def test_entering_needs_the_terms(world: World, as_: Browser) -> None:
    data = {"archive": archive(), "team": world.outsiders.pk, "tournament": "spring"}
    response = as_(world.charlie).post("/submissions/new/", data)
    assert response.status_code == 422
    assert not Submission.objects.filter(team=world.outsiders).exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not a zip", "not a readable zip"),
        (None, "not allowed as a file name"),
    ],
)
def test_a_hostile_archive_is_refused_with_a_sentence(
    world: World, as_: Browser, content: bytes | None, sentence: str
) -> None:
    upload = archive(**{"../../evil.py": b""}) if content is None else io.BytesIO(content)
    upload.name = "evil.zip"
    data = {"archive": upload, "team": world.outsiders.pk}
    response = as_(world.charlie).post(
        "/submissions/new/", data, headers={"accept": "application/json"}
    )
    assert response.status_code == 422
    assert sentence in response.json()["sentence"]


def test_no_package_waits_to_be_qualified_on_data_that_is_not_on_this_machine(
    world: World, as_: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be void, by our fault; of the tasks that a manifest names, one that is here goes."""
    monkeypatch.setenv("ADVERSARIUM_DATA", str(tmp_path))
    client, page = as_(world.charlie), "/submissions/new/"
    assert "mnist (not on this machine)" in text_of(client.get(page))
    refused = client.post(page, {"archive": archive(), "team": world.outsiders.pk, "task": "mnist"})
    assert refused.status_code == 422
    assert "Task &#x27;mnist&#x27; is not on this machine yet" in text_of(refused)
    both = MANIFEST + b'tasks = ["mnist", "digits"]\n'
    upload = archive(**{"manifest.toml": both})
    assert client.post(page, {"archive": upload, "team": world.outsiders.pk}).status_code == 302
    assert Submission.objects.get(name="Mean").task == "digits"


def test_nobody_uploads_for_another_team(world: World, as_: Browser) -> None:
    data = {"archive": archive(), "team": world.defenders.pk}
    assert as_(world.charlie).post("/submissions/new/", data).status_code == 422
    assert not Submission.objects.filter(name="Mean").exists()


@pytest.mark.parametrize(
    ("state", "told"), [("void", "costs no quota"), ("cancelled", "it waits anew")]
)
def test_a_package_without_a_finding_says_how_to_get_one(
    state: str, told: str, world: World, as_: Browser
) -> None:
    found = submitted(world.attackers, world.alice, "Second try", Role.ATTACK)
    Submission.objects.filter(pk=found.pk).update(state=state)
    page = text_of(as_(world.alice).get(f"/submissions/{found.uid}/"))
    assert told in page
    assert "Not entered yet" not in page


def test_a_name_is_text_and_never_markup(world: World, as_: Browser) -> None:
    Submission.objects.update(name="<script>alert(1)</script>", sentence="<b>x</b>")
    entry = world.entries["Bulwark v3"]
    assert entry.submission is not None
    page = text_of(as_(world.dana).get(f"/submissions/{entry.submission.uid}/"))
    assert "<script>alert" not in page
    assert "<b>x</b>" not in page


def test_what_qualification_measured_is_told_in_words_and_planted_examples_with_it() -> None:
    found = {
        "seconds_forward_256": 0.25,
        "friendly": {"fidelity": 0.99, "fidelity_low": 0.9, "queries": 500},
        "planted": [{"norm": "l2", "success": 0.5, "reliable": True}],
        "claims_linf": {"claimed_share": 0.25},
    }
    assert plain_figures(found) == [
        ("Seconds for 256 rows, forward", "0.25"),
        ("Friendly: Fidelity of the copy", "99.0 %"),
        ("Friendly: Probes asked", "500"),
        ("Planted examples 1: Norm", "L2"),
        ("Planted examples 1: Success", "50.0 %"),
        ("Planted examples 1: Reliable", "yes"),
        ("Claims in L∞: Examples with a claim", "25.0 %"),
    ]
    assert [(name, text) for name, text, _ in verdicts.findings(found)] == plain_figures(found)


def test_a_submissions_page_says_for_which_tasks_and_norms_it_is(
    world: World, as_: Browser
) -> None:
    needs = Needs(norms=("linf", "l2"))
    listed = (("mnist5k", "digits"), "mnist5k, digits"), (("*",), "all")
    for number, (tasks, told) in enumerate(listed):
        found = submitted(
            world.attackers, world.alice, f"Choosy {number}", Role.ATTACK, tasks=tasks, needs=needs
        )
        words = words_of(as_(world.alice).get(f"/submissions/{found.uid}/"))
        assert f"Tasks {told}" in words
        assert "Needs: Norms L∞, L2" in words


def test_what_the_terminal_writes_as_a_share_the_pages_do() -> None:
    metrics: dict[str, float | None] = dict.fromkeys((kind.key for kind in METRICS), 0.5)
    pages = {figure.kind.label: figure.text.endswith("%") for figure in figures(metrics)}
    terminal = {name: text.endswith("%") for name, text, _ in verdicts._rows(metrics)}
    assert len(pages) == len(METRICS)
    assert terminal == pages
