"""Evidence of masked gradients stands on the rows of defense boards, and nowhere else."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.test import Client

from arena.evidence import Code
from arena.manifest import Framework, Manifest, Role
from arena.rounds import GameName, SplitName
from leaderboard import services
from leaderboard.models import Board, Standing
from submissions.models import Submission
from tournaments.models import Entry


def has_gradients(entry: Entry) -> None:
    manifest = Manifest(
        name=entry.name,
        role=Role.DEFENSE,
        framework=Framework.TORCH,
        entry="player.py:Player",
        differentiable=True,
    )
    entry.manifest = manifest.to_json()
    entry.save()


@pytest.fixture
def masked(stage: Any) -> Any:
    """Dana masks her gradients, Eve is honest; both fall to Alice's search in the black round."""
    stage.round("black")
    stage.enters_house("pgd")
    stage.attacks("alice")
    stage.defends("dana", "eve")
    for name in ("dana", "eve"):
        has_gradients(stage.entries[name])
    stage.plays("pgd", "dana", range(3))
    stage.plays("pgd", "eve", range(38))
    return stage


def flags(name: str, preset: str = "white") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Standing.objects.get(entry__name=name, round__title=preset).flags
    return found


def test_a_black_box_that_beats_gradients_flags_the_white_row(masked: Any) -> None:
    services.fold_all()
    assert not flags("dana")
    digest = Board.objects.get(round__title="white", role="defense").digest
    for name in ("dana", "eve"):
        masked.plays("alice", name, range(30), preset="black")
    services.fold_all()
    (flag,) = flags("dana")
    assert flag["code"] == Code.BLACK_BOX
    assert flag["figures"]["attack"] == masked.entries["alice"].uid
    assert flag["figures"]["round"] == masked.rounds["black"].uid
    assert not flags("eve")
    assert not flags("dana", "black")
    assert not any(row.flags for row in Standing.objects.filter(role="attack"))
    assert Board.objects.get(round__title="white", role="defense").digest != digest


def test_a_forfeited_gradient_attack_is_no_reference(masked: Any) -> None:
    masked.defends("frank")
    has_gradients(masked.entries["frank"])
    masked.plays("pgd", "frank", forfeits="attack")
    masked.plays("alice", "frank", range(30), preset="black")
    services.fold_all()
    assert not flags("frank")


def test_a_defense_without_gradients_carries_its_note(masked: Any) -> None:
    masked.defends("tree")
    masked.plays("alice", "tree", range(30), preset="black")
    services.fold_all()
    (note,) = flags("tree", "black")
    assert note["code"] == Code.NO_GRADIENTS


def test_a_manifest_of_another_version_accuses_nobody(masked: Any) -> None:
    masked.plays("alice", "dana", range(30), preset="black")
    Entry.objects.filter(name="dana").update(manifest={"schema_version": 99})
    services.fold_all()
    assert not flags("dana")


def test_a_rebuild_finds_the_same_flags(masked: Any) -> None:
    masked.plays("alice", "dana", range(30), preset="black")
    services.fold_all()
    before = list(Board.objects.order_by("pk").values_list("round", "role", "digest"))
    services.rebuild()
    assert list(Board.objects.order_by("pk").values_list("round", "role", "digest")) == before


def test_what_qualification_measured_speaks_on_the_board(stage: Any) -> None:
    """Dana's net knows the published images by heart and has no slopes; Eve's is honest."""
    final = stage.round("black", split=SplitName.FINAL, task="digits")
    stage.attacks("alice")
    stage.defends("dana", "eve")
    for name, accuracy, zero, wrong in (
        ("dana", 1.0, 1.0, range(20)),
        ("eve", 0.99, 0.0, range(1)),
    ):
        entry = stage.entries[name]
        has_gradients(entry)
        figures = {"clean_accuracy": accuracy, "examples": 500, "zero_gradients": zero}
        Submission.objects.filter(pk=entry.submission.pk).update(figures=figures)
        stage.plays("alice", name, range(30), preset="black", wrong=wrong)
    services.fold_all()
    assert [flag["code"] for flag in flags("dana", "black")] == [Code.ZERO, Code.SPLITS]
    figures = flags("dana", "black")[1]["figures"]
    assert (figures["round"], figures["final_right"]) == (final.uid, 20)
    assert not flags("eve", "black")


def test_the_api_tells_what_the_page_shows(masked: Any, client: Client) -> None:
    masked.defends("tree")
    masked.plays("alice", "dana", range(30), preset="black")
    masked.plays("alice", "tree", range(30), preset="black")
    services.fold_all()
    round_ = masked.rounds["white"]
    (board,) = client.get(f"/api/v1/rounds/{round_.uid}/standings/?role=defense").json()["boards"]
    told = {row["entry"]["name"]: row["flags"] for row in board["rows"]}
    assert [flag["code"] for flag in told["dana"]] == [Code.BLACK_BOX]
    assert [flag["code"] for flag in told["tree"]] == [Code.NO_GRADIENTS]
    assert told["eve"] == []
    assert told["dana"] == flags("dana")
    address = f"/tournaments/{round_.tournament.slug}/?round={round_.number}"
    page = html.unescape(client.get(address).content.decode())
    sentences = [flag["sentence"] for row in told.values() for flag in row]
    assert len(sentences) == 2
    assert all(sentence in page for sentence in sentences)


def test_a_refuted_certificate_is_told_on_the_board_of_certificates(
    stage: Any, client: Client
) -> None:
    proof = stage.round("black", game=GameName.CERTIFICATION)
    stage.attacks("alice")
    stage.defends("dana", "eve")
    certain = {"claim_alpha": 0.0, "certified_accuracy": 1.0, "clean_accuracy": 1.0}
    for name in ("dana", "eve"):
        has_gradients(stage.entries[name])
        stage.plays("alice", name, preset="black", radius=0.3, **certain)
    services.fold_all()
    assert not flags("dana", "black")
    stage.plays("alice", "dana", [4])
    services.fold_all()
    (flag,) = flags("dana", "black")
    assert flag["code"] == Code.CERTIFICATE
    assert flag["sentence"] == "alice broke 1 example within a radius that was certified."
    assert flag["figures"]["round"] == stage.rounds["white"].uid
    assert not flags("eve", "black")
    assert not flags("dana")
    page = client.get(f"/tournaments/spring/?round={proof.number}")
    text = html.unescape(page.content.decode())
    assert "certificate broken" in text
    assert "signs of masked gradients" not in text
