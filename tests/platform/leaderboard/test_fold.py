"""Boards are folded from the outbox: once, exactly, and the same again from nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from arena.manifest import Role
from arena.rounds import GameName
from events.models import Audience, Event
from events.services import record
from leaderboard import boards as drafting
from leaderboard import ledger, services
from leaderboard.models import Board, Cursor, MatrixCell, Standing
from tournaments import announcing
from tournaments.models import Entry, Match
from tournaments.states import EntryState, MatchState, Phase

ROW_FIELDS = [field.name for field in Standing._meta.concrete_fields if field.name != "id"]


def boards() -> Any:
    """All that readers see, without keys."""
    return (
        list(Standing.objects.order_by("round", "role", "position").values(*ROW_FIELDS)),
        list(Board.objects.order_by("round", "role").values("round", "role", "digest", "as_of")),
        list(MatrixCell.objects.order_by("match").values("match", "success", "robust", "metrics")),
    )


def row(name: str, preset: str = "white") -> Standing:
    return Standing.objects.get(entry__name=name, round__title=preset)


@pytest.fixture
def played(stage: Any) -> Any:
    stage.attacks("alice", "bob")
    stage.defends("dana", "eve")
    stage.plays("alice", "dana", range(4))
    stage.plays("bob", "dana", range(2, 8))
    stage.plays("alice", "eve", range(30))
    stage.plays("bob", "eve", range(30))
    return stage


def test_a_verdict_reaches_the_board_and_the_matrix(played: Any) -> None:
    services.fold_all()
    dana = row("dana")
    assert (dana.rank, dana.position, dana.headline) == (1, 1, 32 / 40)
    assert dana.interval_low is not None
    assert dana.interval_high is not None
    assert dana.interval_low < 32 / 40 < dana.interval_high
    assert row("eve").rank == 2
    assert row("alice").headline == pytest.approx((4 / 40 + 30 / 40) / 2)
    cell = MatrixCell.objects.get(attack__name="bob", defense__name="dana")
    assert (cell.success, cell.robust) == (6 / 40, 34 / 40)
    assert dana.metrics["strongest_attack"] == played.entries["bob"].pk


def test_folding_again_reads_nothing_and_changes_nothing(played: Any) -> None:
    assert services.fold_all() > 0
    before, pks = boards(), list(Standing.objects.values_list("pk", flat=True))
    assert services.fold_once() == 0
    Cursor.objects.update(position=0)
    services.fold_all()
    assert boards() == before
    assert list(Standing.objects.values_list("pk", flat=True)) == pks


def test_a_rebuild_gives_the_same_bytes_as_folding_event_by_event(stage: Any) -> None:
    stage.round("black")
    stage.attacks("alice", "bob")
    stage.defends("dana", "eve")
    for attack, defense, preset in [
        ("alice", "dana", "white"),
        ("bob", "dana", "black"),
        ("bob", "eve", "white"),
        ("alice", "eve", "black"),
        ("bob", "dana", "white"),
    ]:
        stage.plays(attack, defense, range(len(defense + preset)), preset=preset)
        while services.fold_once(limit=1):
            pass
    folded = boards()
    call_command("leaderboard", "rebuild")
    assert boards() == folded
    services.fold_all()
    assert boards() == folded


def test_a_kill_in_the_black_round_refreshes_the_white_board(stage: Any) -> None:
    stage.round("black")
    stage.attacks("alice")
    stage.defends("dana")
    stage.plays("alice", "dana", [0])
    services.fold_all()
    assert row("dana").headline == 39 / 40
    stage.plays("alice", "dana", [5, 6], preset="black")
    services.fold_all()
    assert row("dana").headline == 37 / 40
    assert row("dana", "black").headline == 38 / 40


def test_a_house_player_stands_on_the_boards_of_rounds_that_name_it(stage: Any) -> None:
    """What it lost in the black round counts on the white one only where it takes part."""
    stage.round("black")
    stage.attacks("alice")
    stage.defends("dana")
    stage.enters_house("cnn")
    stage.rounds["black"].house = {"defenses": ["cnn"]}
    stage.rounds["black"].save()
    stage.plays("alice", "dana", [0])
    stage.plays("alice", "cnn", [1, 2], preset="black")
    services.fold_all()
    assert row(stage.entries["cnn"].name, "black").headline == 38 / 40
    white = Standing.objects.filter(round__title="white", role="defense")
    assert [standing.entry.name for standing in white] == ["dana"]


def test_a_match_that_begins_recomputes_nothing(played: Any) -> None:
    services.fold_all()
    before = list(Standing.objects.values_list("pk", flat=True))
    match = Match.objects.filter(attack__name="alice").first()
    assert match is not None
    match.state = MatchState.RUNNING
    with transaction.atomic():
        announcing.tell_of_match(match, "match.running")
    assert services.fold_once() > 0
    assert list(Standing.objects.values_list("pk", flat=True)) == before


def test_readers_are_told_once_that_boards_changed(played: Any) -> None:
    services.fold_all()
    events = Event.objects.filter(kind="board.changed")
    assert [event.payload["rounds"] for event in events] == [[played.rounds["white"].uid]]
    assert events[0].audience == Audience.PUBLIC
    services.fold_all()
    assert events.count() == 1


def test_the_boards_of_a_private_tournament_are_told_to_its_own(played: Any) -> None:
    played.make_private()
    services.fold_all()
    assert Event.objects.get(kind="board.changed").audience == Audience.TOURNAMENT


def test_events_of_no_tournament_only_move_the_cursor(stage: Any) -> None:
    with transaction.atomic():
        event = record("team.created", audience=Audience.PUBLIC)
    services.fold_all()
    assert Cursor.objects.get().position >= event.pk


def test_a_fold_that_fails_leaves_cursor_and_boards_as_they_were(
    played: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_args: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(drafting, "_write_board", breaks)
        with pytest.raises(RuntimeError, match="disk is full"):
            services.fold_once()
    assert not Cursor.objects.exists() or Cursor.objects.get().position == 0
    assert not MatrixCell.objects.exists()
    services.fold_all()
    assert row("dana").rank == 1


def test_the_fold_computes_without_holding_the_lock(
    played: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    depth, opened = len(connection.savepoint_ids), []
    reads = ledger.open_ledger

    def watched(*args: Any) -> Any:
        opened.append(len(connection.savepoint_ids))
        return reads(*args)

    monkeypatch.setattr(services, "open_ledger", watched)
    services.fold_all()
    services.rebuild()
    assert opened
    assert set(opened) == {depth}


def test_a_fold_that_another_one_overtook_begins_again(
    played: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    drafts = services._drafts

    def overtaken(events: Any) -> Any:
        made = drafts(events)
        turns.append(len(turns))
        if turns == [0]:
            played.attacks("carol")
            played.plays("carol", "dana", range(20))
            assert services.fold_once() > 0
        return made

    monkeypatch.setattr(services, "_drafts", overtaken)
    services.fold_once()
    assert len(turns) > 2
    assert row("dana").headline == 20 / 40
    assert Event.objects.filter(kind="board.changed").count() == 1
    folded = boards()
    services.rebuild()
    assert boards() == folded


def test_a_fold_that_a_rebuild_overtook_begins_again(
    played: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.fold_all()
    played.attacks("carol")
    played.plays("carol", "dana", range(20))
    drafts = services._drafts

    def overtaken(events: Any) -> Any:
        made = drafts(events)
        monkeypatch.setattr(services, "_drafts", drafts)
        Cursor.objects.update(turn=Cursor.objects.get().turn + 1)
        Standing.objects.all().delete()
        Board.objects.all().delete()
        return made

    monkeypatch.setattr(services, "_drafts", overtaken)
    services.fold_all()
    assert row("dana").headline == 20 / 40
    assert row("eve").rank == 2


def test_an_entry_that_waits_for_most_of_its_pool_is_provisional(played: Any) -> None:
    played.defends("frank")
    played.waits("alice", "frank")
    played.plays("bob", "frank", [])
    services.fold_all()
    frank = row("frank")
    assert (frank.rank, frank.provisional, frank.met, frank.pending) == (None, True, 1, 1)
    assert frank.position == 3


def test_a_new_version_takes_the_row_over_once_it_has_met_the_pool(played: Any) -> None:
    played.enters("dana-2", Role.DEFENSE, team="dana")
    played.waits("alice", "dana-2")
    played.plays("bob", "dana-2", [0])
    services.fold_all()
    assert row("dana").rank == 1
    assert row("dana-2").provisional
    played.plays("alice", "dana-2", [1])
    services.fold_all()
    assert not Standing.objects.filter(entry__name="dana").exists()
    assert row("dana-2").headline == 38 / 40


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.FROZEN])
def test_a_row_whose_successor_does_not_play_is_not_spared_who_comes_later(
    played: Any, phase: Phase
) -> None:
    """Dana's new version meets nobody in this round, so the old one has the row for ever."""
    played.enters("dana-2", Role.DEFENSE, team="dana")
    services.fold_all()
    assert (row("dana").rank, row("dana").met) == (1, 2)
    played.attacks("carol")
    played.plays("carol", "eve", range(20))
    round_ = played.rounds["white"]
    round_.state = phase
    round_.save()
    with transaction.atomic():
        announcing.tell_of_round(round_, "round.changed")
    services.fold_all()
    dana = row("dana")
    assert (dana.rank, dana.provisional, dana.met, dana.pending) == (None, True, 2, 1)
    assert row("eve").rank == 1


def test_an_old_row_lacks_nobody_whom_it_could_not_have_met(played: Any) -> None:
    played.enters("dana-2", Role.DEFENSE, team="dana")
    played.attacks("carol")
    carol = played.entries["carol"]
    carol.manifest = {**carol.manifest, "needs": {"gradients": True}}
    carol.save()
    played.plays("carol", "eve", range(20))
    services.fold_all()
    assert (row("dana").rank, row("dana").pending) == (1, 0)


def test_a_superseded_attack_with_a_unique_kill_is_kept_in_the_pool(played: Any) -> None:
    played.enters("bob-2", Role.ATTACK, team="bob")
    played.plays("bob-2", "dana", [])
    played.plays("bob-2", "eve", [])
    services.fold_all()
    assert Entry.objects.get(name="bob").kept
    assert row("dana").headline == 32 / 40
    assert Event.objects.filter(kind="entry.kept").count() == 1


def test_a_superseded_attack_whose_kills_others_have_leaves_the_pool(played: Any) -> None:
    played.enters("bob-2", Role.ATTACK, team="bob")
    for defense, broken in (("dana", range(8)), ("eve", range(30))):
        played.plays("bob-2", defense, broken)
    services.fold_all()
    assert not Entry.objects.get(name="bob").kept
    assert row("dana").headline == 32 / 40


def test_a_kept_attack_is_let_go_once_others_have_its_kills(played: Any) -> None:
    played.enters("bob-2", Role.ATTACK, team="bob")
    played.plays("bob-2", "dana", [])
    services.fold_all()
    assert Entry.objects.get(name="bob").kept
    played.attacks("carol")
    played.plays("carol", "dana", range(8))
    played.plays("carol", "eve", range(30))
    services.fold_all()
    assert not Entry.objects.get(name="bob").kept
    kinds = Event.objects.filter(kind__in=("entry.kept", "entry.let_go")).order_by("id")
    assert [event.kind for event in kinds] == ["entry.kept", "entry.let_go"]


def test_a_disqualified_attack_leaves_board_and_pool(played: Any) -> None:
    entry = played.entries["bob"]
    entry.state = EntryState.DISQUALIFIED
    entry.save()
    with transaction.atomic():
        announcing.tell_of_entry(entry, "entry.disqualified")
    services.fold_all()
    assert not Standing.objects.filter(entry=entry).exists()
    assert row("dana").headline == 36 / 40


def test_teams_that_shared_a_member_do_not_score_on_each_other(played: Any) -> None:
    dana = Entry.objects.get(name="dana")
    dana.roster = [*dana.roster, *Entry.objects.get(name="bob").roster]
    dana.save()
    services.fold_all()
    assert row("bob").headline == 30 / 40
    assert row("dana").headline == 32 / 40


def test_a_forfeit_by_the_defense_is_its_own_loss_alone(stage: Any) -> None:
    stage.attacks("alice")
    stage.defends("dana", "eve")
    stage.plays("alice", "dana", forfeits="defense")
    stage.plays("alice", "eve", [0, 1])
    services.fold_all()
    assert row("dana").below_floor
    assert row("eve").headline == 38 / 40
    assert row("alice").headline == 2 / 40


def test_a_frozen_board_never_changes_again(played: Any) -> None:
    round_ = played.rounds["white"]
    round_.state = Phase.FROZEN
    round_.save()
    with transaction.atomic():
        announcing.tell_of_round(round_, "round.frozen")
    services.fold_all()
    assert Board.objects.filter(frozen=True).count() == 2
    before = boards()
    played.attacks("carol")
    played.plays("carol", "dana", range(40))
    services.fold_all()
    call_command("leaderboard", "rebuild")
    assert boards() == before


def test_a_round_whose_task_is_gone_leaves_the_other_tournaments_boards_alone(
    played: Any, caplog: pytest.LogCaptureFixture
) -> None:
    round_ = played.rounds["white"]
    round_.spec = {**round_.spec, "task": "no-such-task"}
    round_.save()
    services.fold_all()
    assert not Board.objects.exists()
    assert "No boards for spring" in caplog.text


def test_a_poisoning_round_has_its_own_headlines(stage: Any) -> None:
    stage.round("black", game=GameName.POISONING, epsilons=(), shares=(0.1,))
    stage.enters("bob", Role.POISONER)
    stage.enters("lea", Role.LEARNER)
    match = stage.plays("bob", "lea", preset="black")
    match.verdict.metrics = {"clean_error": 0.02, "poisoned_error": 0.3, "delta_error": 0.28}
    match.verdict.save()
    services.fold_all()
    assert row("lea", "black").headline == 0.3
    assert row("bob", "black").headline == 0.28
    assert not Board.objects.get(round__title="black", role="defense").higher_is_better
    assert MatrixCell.objects.get().robust == pytest.approx(0.7)
