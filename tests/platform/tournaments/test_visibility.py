"""Who sees what: every question, for every kind of reader, in every kind of round."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from accounts.models import User
from accounts.selectors import Person
from arena.errors import Side
from arena.manifest import Role
from arena.rounds import SplitName
from arena.verdict import Status
from events.errors import NotThere
from tournaments import files, selectors, visibility
from tournaments.models import Match, Tournament, Visibility
from tournaments.services import RoundPlan
from tournaments.states import Phase

CAST = ("alice", "dana", "mallory", "oscar", "root", "visitor")
INSIDERS = {"oscar", "root"}


class Scene:
    """A recorded match between Alice's attack and Dana's defense (or the house's)."""

    def __init__(self, stage: Any, match: Match) -> None:
        self.stage = stage
        self.match = match
        stage.person("mallory")
        self.root = User.objects.create_superuser("root", "root@example.org", "pass word 1")

    def reader(self, name: str) -> Person:
        if name == "visitor":
            return AnonymousUser()
        return User.objects.get(username=name)

    def readers(self, question: Any) -> set[str]:
        """Those of the cast whom a question is answered with yes."""
        return {name for name in CAST if question(self.reader(name))}

    def moves(self, *phases: Phase) -> None:
        for phase in phases:
            Tournament.objects.update(state=phase)
        self.match = selectors.matches(self.root).get(pk=self.match.pk)


@pytest.fixture
def scene(make_stage: Any, make_spec: Any, make_finding: Any) -> Any:
    """scene(preset="black", split="practice", house=...) -> Scene."""

    def make(
        preset: str = "black",
        *,
        split: SplitName = SplitName.PRACTICE,
        house: Iterable[str] = (),
        private: bool = False,
    ) -> Scene:
        spec = make_spec(preset, split=split)
        round_ = RoundPlan(
            "Round",
            spec,
            attacks=("random-noise",) if "attack" in house else (),
            defenses=("cnn",) if "defense" in house else (),
        )
        kind = Visibility.PRIVATE if private else Visibility.PUBLIC
        stage = make_stage(round_, visibility=kind)
        stage.opens()
        if "defense" not in house:
            stage.enters(stage.person("dana"), "Wall", Role.DEFENSE, differentiable=False)
        if "attack" not in house:
            stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
        for name in ("alice", "dana"):
            stage.person(name)
        found = make_finding(Status.FORFEIT, blame=Side.ATTACK)
        return Scene(stage, stage.plays(Match.objects.get(), found))

    return make


def log_readers(scene: Scene, side: Side) -> set[str]:
    return scene.readers(lambda user: visibility.may_see_match_log(user, scene.match, side))


def outcome_readers(scene: Scene) -> set[str]:
    return scene.readers(lambda user: visibility.may_see_outcome(user, scene.match))


# --- packages and logs of qualification -----------------------------------------------------------


def test_a_package_is_for_its_team_and_the_organizers_it_is_entered_with(scene: Any) -> None:
    scene = scene()
    submission = scene.match.attack.submission
    for question in (visibility.may_see_package, visibility.may_see_log):
        assert scene.readers(lambda user, q=question: q(user, submission)) == {"alice"} | INSIDERS


def test_an_organizer_does_not_see_what_is_not_entered_with_him(scene: Any) -> None:
    scene = scene()
    other = scene.stage.submission(scene.reader("mallory"), "Hidden", Role.ATTACK)
    assert scene.readers(lambda user: visibility.may_see_package(user, other)) == {
        "mallory",
        "root",
    }


# --- tournaments and verdicts ---------------------------------------------------------------------


def test_a_public_tournaments_verdicts_are_everyones(scene: Any) -> None:
    scene = scene()
    assert scene.readers(lambda u: visibility.may_see_verdict(u, scene.match)) == set(CAST)


def test_a_private_tournament_is_not_there_for_outsiders(scene: Any) -> None:
    scene = scene(private=True)
    inside = {"alice", "dana"} | INSIDERS
    assert scene.readers(lambda u: visibility.may_see_verdict(u, scene.match)) == inside
    for name in ("mallory", "visitor"):
        with pytest.raises(NotThere):
            selectors.get(scene.reader(name), scene.stage.tournament.slug)
        with pytest.raises(NotThere):
            selectors.get_match(scene.reader(name), scene.match.uid)
        assert not selectors.visible_events(scene.reader(name)).exists()


def test_team_events_are_read_by_the_team_and_the_organizers(scene: Any) -> None:
    from django.db import transaction

    from events import services as events
    from events.models import Audience

    scene = scene()
    team = scene.reader("alice").teams.get()
    with transaction.atomic():
        for audience in (Audience.TEAM, Audience.ORGANIZERS):
            events.record(
                f"test.{audience.value}",
                audience=audience,
                team=team.pk,
                tournament=scene.stage.tournament.pk,
            )

    def reads(kind: str) -> set[str]:
        return scene.readers(lambda u: selectors.visible_events(u).filter(kind=kind).exists())

    assert reads("test.team") == {"alice"} | INSIDERS
    assert reads("test.organizers") == INSIDERS


# --- match logs -----------------------------------------------------------------------------------


def test_in_a_round_that_reveals_nothing_each_side_reads_its_own_log(scene: Any) -> None:
    scene = scene("black")
    assert log_readers(scene, Side.ATTACK) == {"alice"} | INSIDERS
    assert log_readers(scene, Side.DEFENSE) == {"dana"} | INSIDERS


@pytest.mark.parametrize("preset", ["white", "grey"])
def test_in_a_round_that_reveals_nobody_reads_a_log_until_it_is_published(
    scene: Any, preset: str
) -> None:
    # The attack could print the weights that it was shown.
    scene = scene("white")
    assert log_readers(scene, Side.ATTACK) == INSIDERS
    scene.moves(Phase.PUBLISHED)
    assert log_readers(scene, Side.ATTACK) == {"alice"} | INSIDERS


def test_on_the_final_split_logs_wait_for_the_reveal(scene: Any) -> None:
    scene = scene("black", split=SplitName.FINAL)
    assert log_readers(scene, Side.ATTACK) == INSIDERS
    scene.moves(Phase.PUBLISHED)
    assert log_readers(scene, Side.ATTACK) == {"alice"} | INSIDERS


def test_against_the_house_a_team_reads_both_logs_on_the_practice_split(scene: Any) -> None:
    scene = scene("white", house=("defense",))
    assert log_readers(scene, Side.ATTACK) == {"alice"} | INSIDERS
    assert log_readers(scene, Side.DEFENSE) == {"alice"} | INSIDERS


def test_the_house_against_itself_has_no_secrets_on_the_practice_split(scene: Any) -> None:
    scene = scene("white", house=("attack", "defense"))
    assert log_readers(scene, Side.ATTACK) == set(CAST)
    assert outcome_readers(scene) == set(CAST)


# --- faults ---------------------------------------------------------------------------------------


def test_a_fault_is_told_in_fixed_words_to_those_who_may_not_read_the_log(scene: Any) -> None:
    scene = scene("white")
    said = {n: visibility.fault_sentence(scene.reader(n), scene.match) for n in CAST}
    assert said["oscar"] == "It said: the secret is 42."
    for name in ("alice", "dana", "mallory", "visitor"):
        assert said[name] == "The player crashed."


def test_every_code_has_its_fixed_sentence() -> None:
    from arena.errors import FaultCode

    assert set(visibility.FAULT_SENTENCES) == set(FaultCode)


# --- outcomes and images --------------------------------------------------------------------------


def test_outcomes_are_for_both_sides_in_development_rounds_that_reveal_nothing(
    scene: Any,
) -> None:
    assert outcome_readers(scene("black")) == {"alice", "dana"} | INSIDERS


def test_in_rounds_that_reveal_outcomes_wait_for_the_close(scene: Any) -> None:
    scene = scene("white")
    assert outcome_readers(scene) == INSIDERS
    scene.moves(Phase.PUBLISHED)
    assert outcome_readers(scene) == INSIDERS
    scene.moves(Phase.FROZEN)
    assert outcome_readers(scene) == {"alice", "dana"} | INSIDERS


def test_the_images_of_a_final_split_are_nobodys(scene: Any) -> None:
    scene = scene("black", split=SplitName.FINAL)
    scene.moves(Phase.FROZEN)
    assert outcome_readers(scene) == {"alice", "dana"} | INSIDERS
    assert scene.readers(lambda u: visibility.may_see_images(u, scene.match)) == set()


def test_the_digest_of_an_outcome_is_for_its_readers_and_for_all_after_the_close(
    scene: Any,
) -> None:
    scene = scene("white")
    scene.match.verdict.outcome_sha256 = "ab" * 32
    scene.match.verdict.save()

    def readers() -> set[str]:
        return scene.readers(lambda user: visibility.outcome_sha256(user, scene.match))

    assert readers() == outcome_readers(scene) == INSIDERS
    scene.moves(Phase.PLAYING, Phase.PUBLISHED)
    assert readers() == INSIDERS
    scene.moves(Phase.FROZEN)
    assert readers() == set(CAST)


def test_files_ask_before_they_open(scene: Any, settings: Any) -> None:
    scene = scene("black")
    directory = Path(settings.DATA) / scene.match.verdict.files
    directory.mkdir(parents=True)
    for name in (files.OUTCOME, files.IMAGES):
        (directory / name).write_bytes(b"content")
    alice, mallory = scene.reader("alice"), scene.reader("mallory")
    assert files.outcome_path(alice, scene.match).read_bytes() == b"content"
    assert files.images_path(alice, scene.match).read_bytes() == b"content"
    assert files.log_text(alice, scene.match, Side.ATTACK) == "attack�[0m log"
    for refused in (files.outcome_path, files.images_path):
        with pytest.raises(NotThere):
            refused(mallory, scene.match)
    with pytest.raises(NotThere):
        files.log_text(alice, scene.match, Side.DEFENSE)
