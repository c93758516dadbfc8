"""Entering, superseding, withdrawing: who meets whom, and what happens to the matches."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Membership
from arena.manifest import Manifest, Needs, Role
from arena.rounds import GameName, threat_model_for
from arena.threat_model import ThreatModel
from events.errors import Conflict, Invalid, NotAllowed
from events.models import Event
from submissions import services as submissions
from submissions.models import Submission
from submissions.states import SubmissionState
from tournaments import claims, services
from tournaments.models import Entry, Match
from tournaments.services import RoundPlan
from tournaments.states import EntryState, MatchState, Phase


def test_an_entry_meets_everyone_of_the_other_side_once(stage: Any) -> None:
    walls = [
        stage.enters(stage.person(name), f"Wall of {name}", Role.DEFENSE)
        for name in ("dana", "bob")
    ]
    spear = stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    assert {match.defense for match in Match.objects.filter(attack=spear)} == set(walls)
    assert set(Match.objects.values_list("state", flat=True)) == {MatchState.PENDING}


def test_a_new_entry_plays_only_its_own_row_or_column(stage: Any) -> None:
    stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    before = set(Match.objects.values_list("pk", flat=True))
    late = stage.enters(stage.person("bob"), "Late wall", Role.DEFENSE)
    new = Match.objects.exclude(pk__in=before)
    assert {match.defense for match in new} == {late}
    assert new.count() == 1


def test_entering_twice_changes_nothing(stage: Any) -> None:
    alice = stage.person("alice")
    entry = stage.enters(alice, "Spear", Role.ATTACK)
    events = Event.objects.count()
    again = services.enter(tournament=stage.tournament, submission=entry.submission, user=alice)
    assert again == entry
    assert Event.objects.count() == events


def test_a_resubmission_supersedes_and_cancels_what_has_not_begun(stage: Any) -> None:
    alice = stage.person("alice")
    walls = [
        stage.enters(stage.person(name), f"Wall of {name}", Role.DEFENSE)
        for name in ("dana", "bob")
    ]
    old = stage.enters(alice, "Spear", Role.ATTACK)
    played = stage.plays(stage.match(old, walls[0]))
    new = stage.enters(alice, "Sharper spear", Role.ATTACK)
    old.refresh_from_db()
    assert (old.state, new.state) == (EntryState.SUPERSEDED, EntryState.ACTIVE)
    played.refresh_from_db()
    assert played.state == MatchState.SCORED
    assert stage.match(old, walls[1]).state == MatchState.CANCELLED
    assert Match.objects.filter(attack=new, state=MatchState.PENDING).count() == 2


def test_entering_the_older_version_again_brings_its_matches_back(stage: Any) -> None:
    alice = stage.person("alice")
    wall = stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    old = stage.enters(alice, "Spear", Role.ATTACK)
    new = stage.enters(alice, "Blunt spear", Role.ATTACK)
    back = services.enter(tournament=stage.tournament, submission=old.submission, user=alice)
    assert back == old
    assert stage.match(old, wall).state == MatchState.PENDING
    assert stage.match(new, wall).state == MatchState.CANCELLED


def test_withdrawing_keeps_verdicts_and_cancels_the_rest(stage: Any) -> None:
    alice, dana = stage.person("alice"), stage.person("dana")
    wall = stage.enters(dana, "Wall", Role.DEFENSE)
    spear = stage.enters(alice, "Spear", Role.ATTACK)
    with pytest.raises(NotAllowed):
        services.withdraw(entry=spear, user=dana)
    services.withdraw(entry=spear, user=alice)
    assert stage.match(spear, wall).state == MatchState.CANCELLED
    assert spear.state == EntryState.WITHDRAWN
    with pytest.raises(Conflict):
        services.withdraw(entry=spear, user=alice)


def test_a_disqualified_entry_does_not_come_back_by_itself(stage: Any) -> None:
    alice = stage.person("alice")
    spear = stage.enters(alice, "Spear", Role.ATTACK)
    with pytest.raises(NotAllowed):
        services.disqualify(entry=spear, organizer=alice, reason="mine")
    services.disqualify(entry=spear, organizer=stage.oscar, reason="A copy of the house's.")
    with pytest.raises(Conflict, match="disqualified"):
        services.enter(tournament=stage.tournament, submission=spear.submission, user=alice)


# --- who may ------------------------------------------------------------------------------------


def test_a_tournament_takes_entries_only_while_it_is_open(make_stage: Any) -> None:
    stage = make_stage()
    with pytest.raises(Conflict, match="takes no entries"):
        stage.enters(stage.person("alice"), "Spear", Role.ATTACK)


def test_nobody_enters_another_teams_submission(stage: Any) -> None:
    submission = stage.submission(stage.person("alice"), "Spear", Role.ATTACK)
    with pytest.raises(NotAllowed):
        services.enter(
            tournament=stage.tournament, submission=submission, user=stage.person("mallory")
        )


def test_a_person_plays_for_one_team_in_a_tournament(stage: Any) -> None:
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    mallory = stage.person("mallory", team="Second team")
    alice = stage.person("alice", team="Second team")
    submission = stage.submission(mallory, "Wall", Role.DEFENSE)
    with pytest.raises(Conflict, match="another team"):
        services.enter(tournament=stage.tournament, submission=submission, user=alice)


def test_the_roster_is_frozen_at_entry(stage: Any) -> None:
    alice = stage.person("alice")
    entry = stage.enters(alice, "Spear", Role.ATTACK)
    Membership.objects.filter(user=alice).delete()
    entry.refresh_from_db()
    assert entry.roster == [alice.pk]


def test_a_player_that_no_round_is_made_for_is_refused(stage: Any) -> None:
    with pytest.raises(Invalid, match="No round"):
        stage.enters(stage.person("alice"), "Flipper", Role.POISONER)
    with pytest.raises(Invalid, match="No round"):
        stage.enters(stage.person("dana"), "Wall", Role.DEFENSE, tasks=("mnist5k",))


def trends(make_spec: Any, **values: Any) -> RoundPlan:
    game = GameName.TREND_POISONING
    model = threat_model_for(game, ThreatModel.white())
    given = {"game": game, "task": "ice-cover", "threat_model": model, "examples": 4, **values}
    return RoundPlan("Trends", make_spec(**given))


def test_a_learner_of_classes_is_told_why_no_round_about_trends_takes_it(
    make_stage: Any, make_spec: Any
) -> None:
    stage = make_stage(trends(make_spec))
    stage.opens()
    dana = stage.person("dana")
    learner = stage.submission(dana, "Sphere", Role.LEARNER)
    assert not services.fits(stage.tournament, learner)
    with pytest.raises(Invalid, match=r"this learner\. Trends: .* estimates no trends; one"):
        services.enter(tournament=stage.tournament, submission=learner, user=dana)
    with pytest.raises(Invalid, match=r"this poisoner\. Trends: .* removes no trends; one"):
        stage.enters(stage.person("alice"), "Flipper", Role.POISONER)
    needs = Needs(games=(GameName.TREND_POISONING.value,))
    assert stage.enters(dana, "Theil", Role.LEARNER, needs=needs).state == EntryState.ACTIVE


def test_one_round_that_takes_it_is_enough(make_stage: Any, make_spec: Any) -> None:
    poisoning = make_spec(game=GameName.POISONING, shares=(0.1,), epsilons=())
    stage = make_stage(trends(make_spec), RoundPlan("Poison", poisoning))
    stage.opens()
    assert stage.enters(stage.person("dana"), "Sphere", Role.LEARNER).state == EntryState.ACTIVE


def test_an_attack_that_no_round_grants_what_it_needs_is_told_so_round_by_round(
    make_stage: Any, make_spec: Any
) -> None:
    black = [RoundPlan(f"Black {n}", make_spec(epsilons=(n / 10,))) for n in range(1, 6)]
    stage = make_stage(*black)
    stage.opens()
    needs = Needs(gradients=True)
    with pytest.raises(Invalid) as refused:
        stage.enters(stage.person("alice"), "Spear", Role.ATTACK, needs=needs)
    told = str(refused.value)
    assert "Black 1: The attack needs gradients, and the round withholds them." in told
    assert "Black 3: " in told
    assert told.endswith("The other 2 do not fit either.")


def test_what_plays_already_is_not_asked_again_whether_it_fits(stage: Any) -> None:
    alice = stage.person("alice")
    spear = stage.enters(alice, "Spear", Role.ATTACK)
    needs = Manifest(
        name="Spear", role=Role.ATTACK, entry="player.py:Player", needs=Needs(gradients=True)
    )
    Submission.objects.filter(pk=spear.submission_id).update(manifest=needs.to_json())
    again = Submission.objects.get(pk=spear.submission_id)
    assert services.enter(tournament=stage.tournament, submission=again, user=alice) == spear


# --- waiting for qualification ------------------------------------------------------------------


def judged(submission: Submission, *, accepted: bool) -> None:
    Submission.objects.filter(pk=submission.pk).update(
        state=SubmissionState.QUALIFYING, attempt=1, lease_until="2030-01-01T00:00Z"
    )
    submission.refresh_from_db()
    assert submissions.record_outcome(
        submission=submission, attempt=1, accepted=accepted, sentence="Because.", figures={}, log=""
    )


def test_an_entry_may_wait_for_qualification_and_then_plays(stage: Any) -> None:
    stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    entry = stage.enters(stage.person("alice"), "Spear", Role.ATTACK, state="queued")
    assert entry.state == EntryState.WAITING
    assert not Match.objects.exists()
    judged(entry.submission, accepted=True)
    entry.refresh_from_db()
    assert entry.state == EntryState.ACTIVE
    assert Match.objects.filter(attack=entry).count() == 1


def test_a_rejected_submission_refuses_its_entry_with_the_reason(stage: Any) -> None:
    entry = stage.enters(stage.person("alice"), "Spear", Role.ATTACK, state="queued")
    judged(entry.submission, accepted=False)
    entry.refresh_from_db()
    assert (entry.state, entry.reason) == (EntryState.REFUSED, "Because.")
    with pytest.raises(Conflict, match=r"This submission is rejected\. Because\."):
        services.enter(
            tournament=stage.tournament,
            submission=Submission.objects.get(pk=entry.submission_id),
            user=stage.person("alice"),
        )


def test_of_two_that_waited_the_one_uploaded_last_counts(stage: Any) -> None:
    alice = stage.person("alice")
    older = stage.enters(alice, "Spear", Role.ATTACK, state="queued")
    newer = stage.enters(alice, "Sharper spear", Role.ATTACK, state="queued")
    judged(newer.submission, accepted=True)
    judged(older.submission, accepted=True)
    older.refresh_from_db()
    newer.refresh_from_db()
    assert (older.state, newer.state) == (EntryState.SUPERSEDED, EntryState.ACTIVE)


# --- cells --------------------------------------------------------------------------------------


def test_a_pair_that_cannot_meet_gets_a_row_that_says_why_and_no_match(
    make_stage: Any, make_spec: Any
) -> None:
    stage = make_stage(RoundPlan("White", make_spec("white")))
    stage.opens()
    wall = stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    needs = Needs(gradients=True)
    spear = stage.enters(stage.person("alice"), "Spear", Role.ATTACK, needs=needs)
    cell = stage.match(spear, wall)
    assert cell.state == MatchState.NOT_APPLICABLE
    assert "gradients" in cell.sentence


def test_house_players_play_in_the_rounds_that_name_them(make_stage: Any, make_spec: Any) -> None:
    white = RoundPlan(
        "White", make_spec("white"), attacks=("fgsm", "pgd"), defenses=("cnn", "decision-tree")
    )
    black = RoundPlan("Black", make_spec(), attacks=("square",), defenses=("cnn",))
    stage = make_stage(white, black)
    stage.opens()
    pairs = Match.objects.values_list("round__title", "attack__house", "defense__house", "state")
    assert set(pairs) == {
        ("White", "fgsm", "cnn", "pending"),
        ("White", "pgd", "cnn", "pending"),
        ("White", "fgsm", "decision-tree", "not_applicable"),
        ("White", "pgd", "decision-tree", "not_applicable"),
        ("Black", "square", "cnn", "pending"),
    }


def test_learners_meet_poisoners_and_nobody_else(make_stage: Any, make_spec: Any) -> None:
    poisoning = make_spec(
        game=GameName.POISONING, epsilons=(), shares=(0.1,), threat_model=ThreatModel.white()
    )
    stage = make_stage(RoundPlan("Black", make_spec()), RoundPlan("Poisoning", poisoning))
    stage.opens()
    learner = stage.enters(stage.person("dana"), "Learner", Role.LEARNER)
    wall = stage.enters(stage.person("bob"), "Wall", Role.DEFENSE)
    poisoner = stage.enters(stage.person("alice"), "Flipper", Role.POISONER)
    spear = stage.enters(stage.person("eve"), "Spear", Role.ATTACK)
    met = set(Match.objects.values_list("attack", "defense"))
    assert met == {(poisoner.pk, learner.pk), (spear.pk, wall.pk)}


def test_a_house_player_of_the_wrong_kind_is_refused(make_stage: Any, make_spec: Any) -> None:
    with pytest.raises(Invalid, match="no place among the defenses"):
        make_stage(RoundPlan("White", make_spec("white"), defenses=("fgsm",)))
    with pytest.raises(Invalid):
        make_stage(RoundPlan("White", make_spec("white"), attacks=("excalibur",)))


def test_the_same_pair_has_the_same_seed_and_others_differ(stage: Any) -> None:
    wall = stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    spears = [
        stage.enters(stage.person(name), f"Spear of {name}", Role.ATTACK)
        for name in ("alice", "bob")
    ]
    seeds = [stage.match(spear, wall).seed for spear in spears]
    assert len(set(seeds)) == 2
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_unique_constraint_refuses_a_second_active_entry(stage: Any) -> None:
    from django.db import IntegrityError

    alice = stage.person("alice")
    stage.enters(alice, "Spear", Role.ATTACK)
    other = stage.submission(alice, "Other", Role.ATTACK)
    with pytest.raises(IntegrityError):
        Entry.objects.create(
            tournament=stage.tournament, team=other.team, submission=other, role="attack",
            player="attack", name="Other", state=EntryState.ACTIVE,
        )  # fmt: skip


# --- phases -------------------------------------------------------------------------------------


def test_opening_plans_what_entered_and_closing_keeps_it(make_stage: Any, make_spec: Any) -> None:
    stage = make_stage(RoundPlan("White", make_spec("white"), attacks=("fgsm",), defenses=("cnn",)))
    assert not Match.objects.exists()
    stage.opens()
    assert Match.objects.count() == 1
    services.move(tournament=stage.tournament, to=Phase.PLAYING, organizer=stage.oscar)
    assert stage.tournament.rounds.get().state == Phase.PLAYING


def test_publishing_waits_for_the_last_match(stage: Any) -> None:
    wall = stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    spear = stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    services.move(tournament=stage.tournament, to=Phase.PLAYING, organizer=stage.oscar)
    with pytest.raises(Conflict, match="1 match is still"):
        services.move(tournament=stage.tournament, to=Phase.PUBLISHED, organizer=stage.oscar)
    stage.plays(stage.match(spear, wall))
    services.move(tournament=stage.tournament, to=Phase.PUBLISHED, organizer=stage.oscar)
    services.move(tournament=stage.tournament, to=Phase.FROZEN, organizer=stage.oscar)
    with pytest.raises(Conflict):
        services.move(tournament=stage.tournament, to=Phase.OPEN, organizer=stage.oscar)


def test_only_organizers_move_a_tournament(stage: Any) -> None:
    with pytest.raises(NotAllowed):
        services.move(
            tournament=stage.tournament, to=Phase.PLAYING, organizer=stage.person("mallory")
        )


# --- grey eligibility -----------------------------------------------------------------------------

APART = {"architecture": "architecture.py", "weights": "weights.npz"}


def wall(stage: Any, name: str, *, eligible: bool) -> Any:
    """A defense of a team of its own, with what its qualification found."""
    dana = stage.person(name)
    submission = stage.submission(dana, name, Role.DEFENSE, **APART)
    submission.figures = {"grey_eligible": eligible, "grey_reason": "A reason for its team."}
    submission.save()
    return services.enter(tournament=stage.tournament, submission=submission, user=dana)


def test_a_package_that_failed_the_grey_check_never_meets_a_round_that_gives_the_architecture(
    make_stage: Any, make_spec: Any
) -> None:
    grey, white, black = (RoundPlan(p, make_spec(p)) for p in ("grey", "white", "black"))
    stage = make_stage(grey, white, black)
    stage.opens()
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    wall(stage, "apart", eligible=True)
    wall(stage, "tangled", eligible=False)
    stage.enters(stage.person("bob"), "Lance", Role.ATTACK)  # later attacks change nothing
    found = {
        (m.attack.name, m.defense.name, m.round.title): (m.state, m.sentence)
        for m in Match.objects.select_related("attack", "defense", "round")
    }
    assert len(found) == 12
    for (_, defense, title), (state, sentence) in found.items():
        if (defense, title) == ("tangled", "grey"):
            assert state == MatchState.NOT_APPLICABLE
            assert "do not stand apart" in sentence
            assert "reason" not in sentence
        else:
            assert (state, sentence) == (MatchState.PENDING, "")
    claimed = set()
    while (match := claims.claim(worker="w:1")) is not None:
        claimed.add((match.defense.name, match.round.title))
    assert ("tangled", "grey") not in claimed
    assert ("tangled", "white") in claimed


def test_an_entry_that_waits_is_planned_by_what_its_qualification_finds(
    make_stage: Any, make_spec: Any
) -> None:
    stage = make_stage(RoundPlan("grey", make_spec("grey")))
    stage.opens()
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    dana = stage.person("dana")
    waiting = stage.submission(dana, "Wall", Role.DEFENSE, state="qualifying", **APART)
    services.enter(tournament=stage.tournament, submission=waiting, user=dana)
    assert not Match.objects.exists()
    waiting.state, waiting.figures = "qualified", {"grey_eligible": False}
    waiting.save()
    services.submission_was_judged(waiting)
    assert Match.objects.get().state == MatchState.NOT_APPLICABLE
