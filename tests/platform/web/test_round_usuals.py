"""Oscar takes a round of the form as it comes: whatever game he chooses, it can be made."""

from __future__ import annotations

import re
from typing import Any

import pytest

from arena import tasks
from arena.cli import rules
from arena.round_settings import norms_of
from arena.rounds import GameName, Norm
from arena.tasks.fitting import usual_task_of
from events.errors import Invalid
from tests.platform.web.filling import ROUND, filled, form_of, query, sent
from tests.platform.web.reading import Browser, words_of
from tests.platform.web.seeding import World
from tournaments import loading
from tournaments.models import Tournament
from web.glossary import BY_SLUG
from web.round_presets import settle
from web.round_usuals import Choice, first


def begun(**changes: Any) -> dict[str, Any]:
    """A round as the page begins it on digits, without its script, but for ``changes``."""
    return {**filled("white"), **first("digits"), **changes}


@pytest.mark.parametrize("game", GameName)
def test_every_game_can_be_made_of_what_the_form_begins_with(
    game: GameName, world: World, as_: Browser
) -> None:
    round_ = begun(game=game.value, task=usual_task_of(game))
    made = as_(world.oscar).post("/tournaments/new/", sent(round_))
    assert made.status_code == 302, words_of(made)
    made_rules = Tournament.objects.get(slug="autumn").rounds.get().rules
    usual = tasks.load(made_rules.task).norms
    if game in (GameName.EVASION, GameName.CERTIFICATION, GameName.TREND_POISONING):
        assert made_rules.epsilons == usual["linf"]
    if game is GameName.GOOD_WORDS:
        assert made_rules.epsilons == usual["l0"]
    if game is GameName.TARGETED_POISONING:
        assert (made_rules.epsilons, made_rules.shares) == ((), (0.03,))
    in_a_file = {"title": "Round", "game": game.value, "task": usual_task_of(game)}
    plan = loading.parse(
        {"schema_version": 1, "title": "T", "task": "digits", "rounds": [in_a_file]}
    )
    assert plan.rounds[0].spec == made_rules, "a file that says no more begins as the form does"


def test_a_poisoner_who_moves_first_is_shown_nothing_at_every_door() -> None:
    """Who says so need not take each switch of the preset back by hand."""
    round_ = begun(game="poisoning", shares="0.1", first_mover="attacker")
    form = form_of(round_)
    assert form.is_valid(), form.errors
    made = form.plan(task="digits", split="practice").spec
    said = {"game": "poisoning", "switches": {"first_mover": "attacker"}}
    file = {"schema_version": 1, "title": "T", "task": "digits", "rounds": [{"title": "R", **said}]}
    filed = loading.parse(file).rounds[0].spec
    options = rules.Options("white", game="poisoning", first_mover="attacker")
    played = rules.round_of(options, tasks.load("digits"))
    assert made.threat_model == filed.threat_model == played.threat_model
    assert (made.shares, filed.shares, played.shares) == ((0.1,),) * 3
    assert made.threat_model.probes.none


def test_what_is_shown_by_hand_to_a_poisoner_who_moves_first_is_refused() -> None:
    round_ = begun(game="poisoning", shares="0.1", first_mover="attacker")
    told = form_of({**round_, "probes": "counted", "queries": "5"})
    assert "has no learner to look at" in str(told.errors["first_mover"])
    file = {"schema_version": 1, "title": "T", "task": "digits", "rounds": [{
        "title": "R", "game": "poisoning",
        "switches": {"first_mover": "attacker", "structure": "source"},
    }]}  # fmt: skip
    with pytest.raises(Invalid, match="has no learner to look at"):
        loading.parse(file)


@pytest.mark.parametrize(
    ("norm", "epsilons"), [(Norm.PATCH, "0.05"), (Norm.SPATIAL, "30"), (Norm.CORRUPTION, "3")]
)
def test_another_norm_brings_its_own_sizes(norm: Norm, epsilons: str) -> None:
    assert form_of(begun(norm=norm.value))["epsilons"].value() == epsilons


def test_what_oscar_changed_stays() -> None:
    form = form_of(begun(game="replay", epsilons="0.07", title="Mine"))
    assert (form["epsilons"].value(), form["title"].value()) == ("0.07", "Mine")
    theft = form_of(begun(game="extraction", preset="grey"))
    assert theft["preset"].value() == "grey"
    assert theft["title"].value() == "Extraction, grey box"


def test_a_round_that_the_page_did_not_begin_is_taken_as_it_was_sent() -> None:
    data = query(sent(filled("white", game="poisoning")))
    assert settle(data)["rounds-0-epsilons"] == ROUND["epsilons"]
    assert Choice.read("nonsense|digits|linf|white") is None
    assert Choice.read("") is None


def test_the_script_is_told_the_same_as_the_server(world: World, as_: Browser) -> None:
    page = as_(world.oscar).get("/tournaments/new/")
    told = page.context["usuals"]
    for game in GameName:
        wanted = Choice(game, "digits", "l2", "grey").settings()
        table = told["games"][game]
        epsilons = told["epsilons"]["digits"].get(table["norm"] or "l2", "")
        assert wanted["epsilons"] == (epsilons if table["bounded"] else "")
        assert wanted["title"] == table["titles"]["grey"]
        assert (wanted["shares"], wanted["preset"]) == (table["shares"], table["preset"])
        assert table["sentence"] == BY_SLUG[game.value.replace("_", "-")].short


def test_the_script_is_told_which_norms_a_game_and_a_task_allow(world: World, as_: Browser) -> None:
    told = as_(world.oscar).get("/tournaments/new/").context["usuals"]
    for game in GameName:
        assert told["games"][game]["norms"] == [norm.value for norm in norms_of(game)]
    assert set(told["moves"]) == {"spatial", "corruption"}
    assert {"digits", "mnist5k"} <= set(told["pictures"])
    assert not {"spambase", "ice-cover", "spamassassin-words"} & set(told["pictures"])


def test_the_examples_of_a_round_follow_a_task_of_few_series() -> None:
    """Oscar chose a trend round where the page still holds evasion's settings."""
    form = form_of(begun(game="trend_poisoning", task="ice-cover"))
    assert form["examples"].value() == "40"
    assert form_of(begun())["examples"].value() == "200"


def test_house_players_say_where_they_play(world: World, as_: Browser) -> None:
    html = as_(world.oscar).get("/tournaments/new/").content.decode()

    def told(name: str, what: str) -> set[str]:
        (box,) = re.findall(rf'<input[^>]*value="{name}"[^>]*id="id_rounds-0-[^>]*>', html)
        (found,) = re.findall(rf'data-{what}="([^"]*)"', box)
        return set(found.split())

    assert told("naive-bayes", "tasks") == {"spamassassin-words"}
    assert "digits" in told("cnn", "tasks")
    assert "ice-cover" not in told("cnn", "tasks")
    assert told("cw-l2", "norms") == {"l2"}
    assert told("patch", "norms") == {"patch"}
    assert told("certified-smoothing", "certifies") == {"l2"}


def test_what_is_usual_for_a_round_is_read_from_its_own_task_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The preview asks at each change, for every round."""
    read, load = [], tasks.load
    monkeypatch.setattr(tasks, "load", lambda name: read.append(name) or load(name))
    settle(query(sent(begun(game="replay"))))
    assert set(read) == {"digits"}
