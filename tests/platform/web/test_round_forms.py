"""Oscar sets a round: a preset fills the switches, each may be changed, contradictions are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

import arena.tasks
from accounts.models import User
from arena.round_settings import USED_BY
from arena.round_switches import USED_BY as SWITCHES_USED_BY
from arena.rounds import (
    MOVERS,
    POISONED,
    GameName,
    Goal,
    Norm,
    PoisonMode,
    TargetRule,
    movers_of,
)
from arena.threat_model import (
    PRESET_NAMES,
    DefenseStructure,
    Feedback,
    FirstMover,
    OutputKind,
    ThreatModel,
    TrainingDataKind,
)
from tests.platform.web.filling import HEAD, ROUND, filled, form_of, sent
from tests.platform.web.reading import Browser, words_of
from tests.platform.web.seeding import World
from tournaments.models import Tournament
from web import round_usuals
from web.glossary import BY_SLUG
from web.round_forms import RoundForm, round_formset
from web.round_presets import PRESETS, values_of


def test_tasks_are_looked_up_once_for_all_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(arena.tasks, "at_hand", lambda: asked.append(1) or ["digits"])
    rounds = round_formset(initial=[{}, {}, {}])
    choices = [dict(form.fields["task"].choices) for form in rounds]
    assert len(choices) == 3
    assert all(offered["digits"] == "digits" and "" in offered for offered in choices)
    assert len(asked) == 1


def model_of(round_: dict[str, Any]) -> ThreatModel:
    form = form_of(round_)
    assert form.is_valid(), form.errors
    return form.plan(task="digits", split="practice").spec.threat_model


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_a_filled_preset_is_the_engine_s_own(preset: str) -> None:
    game = "transfer" if preset == "transfer" else "evasion"
    assert model_of(filled(preset, game=game)) == ThreatModel.preset(preset)
    assert model_of({**ROUND, "game": game, "preset": preset}) == ThreatModel.preset(preset)


@pytest.mark.parametrize(
    ("changes", "look", "value"),
    [
        ({"task_knowledge": "cost"}, "task_knowledge.value", "cost"),
        (
            {"training_data": "samples", "samples": "7"},
            "training_data",
            (TrainingDataKind.SAMPLES, 7),
        ),
        ({"learning_algorithm": "family"}, "learning_algorithm.value", "family"),
        ({"architecture": "given"}, "architecture.value", "given"),
        ({"parameters": "related"}, "parameters.value", "related"),
        ({"structure": "described"}, "structure", DefenseStructure.DESCRIBED),
        ({"randomness": "seed"}, "randomness.value", "seed"),
        ({"queries": "", "total": "900"}, "probes", (900, None, False)),
        ({"probes": "unlimited", "queries": ""}, "probes", (None, None, True)),
        ({"output": "top_k", "top_k": "3"}, "output", (OutputKind.TOP_K, 3, None)),
        ({"output": "rounded", "decimals": "2"}, "output", (OutputKind.ROUNDED, None, 2)),
        ({"feedback": "success"}, "feedback", Feedback.SUCCESS),
        ({"true_label": "no"}, "true_label", False),
    ],
)
def test_every_switch_can_be_set_by_itself(
    changes: dict[str, str], look: str, value: object
) -> None:
    model = model_of(filled("black", **changes))
    found: Any = model
    for name in look.split("."):
        found = getattr(found, name)
    if isinstance(value, tuple):
        found = tuple(getattr(found, name) for name in type(found).__dataclass_fields__)
    assert found == value
    untouched = [s for s in PRESETS["black"] if s not in changes]
    assert {s: values_of(model)[s] for s in untouched} == {
        s: PRESETS["black"][s] for s in untouched
    }


@pytest.mark.parametrize(
    ("round_", "field", "sentence"),
    [
        (filled("black", probes="none", queries="", feedback="reply"), "feedback", "grant probes"),
        (filled("white", architecture="hidden"), "architecture", "give the architecture too"),
        (filled("black", task_knowledge="none", training_data="none", samples=""), "true_label",
         "cannot read labels"),
        (filled("black", task_knowledge="input_space"), "task_knowledge", "carries labels"),
        (filled("black", training_data="samples", samples=""), "training_data", "needs the number"),
        (filled("black", probes="unlimited"), "probes", "either unlimited or counted"),
        (filled("black", output="top_k"), "output", "needs k"),
        (filled("black", first_mover="attacker"), "first_mover", "the defender commits first"),
        (filled("white", game="poisoning", epsilons="", shares="0.1", first_mover="repeated"),
         "first_mover", "not one of the available choices"),
        (filled("black", probes="counted", queries=""), "probes", "Say how many"),
        (filled("black", probes="none"), "probes", "choose counted"),
        (filled("black", game="transfer"), "probes", "grants no probes"),
        (filled("black", epsilons="0.2, 0.1"), "epsilons", "ascending"),
        (filled("black", game="minimum_norm"), "epsilons", "takes no epsilon"),
        (filled("black", norm="corruption", epsilons="2.5"), "epsilons", "are severities"),
        (filled("black", norm="spatial", epsilons="10, 20", shifts="1"), "shifts", "one shift"),
        (filled("black", shifts="1"), "shifts", "norm = 'spatial'"),
        (filled("black", norm="spatial", game="minimum_norm", epsilons=""), "norm", "no distance"),
        (filled("black", game="poisoning"), "shares", "at least one poisoned share"),
        (filled("black", shares="0.1"), "shares", "in a round of evasion"),
        (filled("black", targets="3"), "targets", "Leave it empty."),
        (filled("black", target_rule="all"), "target_rule", "Choose random."),
        (filled("black", game="poisoning", shares="0.1"), "epsilons", "in a round of poisoning"),
        (filled("black", game="poisoning", shares="0.1", epsilons="", norm="l2"), "norm",
         "Choose L∞."),
        (filled("black", game="good_words", epsilons="5", norm="l2"), "norm", "are counted"),
        (filled("black", game="trend_poisoning", queries="7"), "probes", "grants no probes"),
        (filled("black", game="poisoning", shares="0.1", seeds="2"), "seeds", "5 paired seeds"),
    ],
)  # fmt: skip
def test_a_contradiction_is_told_at_its_field(
    round_: dict[str, str], field: str, sentence: str
) -> None:
    form = form_of(round_)
    assert not form.is_valid()
    assert list(form.errors) == [field]
    assert sentence in form.errors[field][0]


def test_without_a_script_a_new_preset_fills_what_was_not_changed() -> None:
    """Oscar chose grey on a page that still shows white's switches, and changed one of them."""
    model = model_of({**filled("white", structure="described"), "preset": "grey"})
    assert model.structure is DefenseStructure.DESCRIBED
    assert values_of(model) == {**PRESETS["grey"], "structure": "described"}


def test_settings_of_a_game_reach_the_round(world: World, as_: Browser) -> None:
    rounds = (
        filled("white", goal="targeted", target_rule="all", norm="l2", weight="2.5", repeats="3",
               attack_seconds="30", defense_seconds="40", query_seconds="2"),
        filled("white", game="poisoning", task="mnist-1-7", epsilons="", shares="0.03, 0.1",
               poison_mode="replace", seeds="6", attacks=["label-flip"],
               defenses=["logistic-learner"]),
    )  # fmt: skip
    rounds = (*rounds, filled("white", norm="spatial", epsilons="10, 30", shifts="0, 2.5"))
    response = as_(world.oscar).post("/tournaments/new/", sent(*rounds))
    assert response.status_code == 302, response.content.decode()
    first, second, turned = Tournament.objects.get(slug="autumn").rounds.all()
    rules = first.rules
    assert (rules.goal, rules.target_rule, rules.repeats) == (Goal.TARGETED, TargetRule.ALL, 3)
    assert (rules.attack_limits.wall_seconds, rules.defense_limits.wall_seconds) == (30, 40)
    assert rules.defense_limits.query_seconds == 2
    assert first.weight == 2.5
    assert (second.rules.task, second.rules.shares) == ("mnist-1-7", (0.03, 0.1))
    assert (turned.rules.norm, turned.rules.shifts) == (Norm.SPATIAL, (0.0, 2.5))
    assert (second.rules.poison_mode, second.rules.seeds) == (PoisonMode.REPLACE, 6)


def test_the_preview_says_what_the_attacker_sees_and_who_meets(world: World, as_: Browser) -> None:
    oscar = as_(world.oscar)
    round_ = filled("white", attacks=["pgd", "fgsm"], defenses=["cnn", "nearest-neighbour"])
    shown = words_of(oscar.post("/tournaments/new/preview/", sent(round_)))
    assert ThreatModel.white().sentence() in shown
    assert "2 matches of the house" in shown
    assert "2 pairs cannot meet" in shown
    assert "The attack needs gradients, and the defense has none." in shown
    assert "Nobody of the house to meet in this round: nearest-neighbour." in shown
    made = oscar.post("/tournaments/new/", sent(round_))
    assert made.status_code == 302
    oscar.post("/tournaments/autumn/move/", {"to": "open"})
    states = Tournament.objects.get(slug="autumn").matches.values_list("state", flat=True)
    assert sorted(states) == ["not_applicable"] * 2 + ["pending"] * 2


SETTINGS: dict[GameName, dict[str, str]] = {
    GameName.EVASION: {"preset": "white"},
    GameName.MINIMUM_NORM: {"preset": "white", "norm": "l2", "epsilons": ""},
    GameName.TRANSFER: {"preset": "transfer"},
    GameName.POISONING: {"preset": "white", "epsilons": "", "shares": "0.1", "task": "mnist-1-7"},
    GameName.BACKDOOR: {
        "preset": "white",
        "epsilons": "",
        "shares": "0.1",
        "trigger_area": "0.03",
        "task": "mnist-1-7",
    },
    GameName.TARGETED_POISONING: {
        "preset": "white",
        "epsilons": "0.3",
        "shares": "0.1",
        "targets": "3",
        "task": "mnist-1-7",
    },
    GameName.ONLINE_POISONING: {
        "preset": "white",
        "epsilons": "",
        "shares": "0.1",
        "batches": "7",
        "task": "mnist-1-7",
    },
    GameName.EXTRACTION: {"preset": "black", "epsilons": ""},
    GameName.CERTIFICATION: {"preset": "white", "norm": "l2"},
    GameName.REPLAY: {"preset": "white", "replays": "40"},
    GameName.ATTACKER_FIRST: {"preset": "white", "published": "100"},
    GameName.TREND_POISONING: {
        "preset": "white",
        "norm": "l2",
        "task": "ice-cover",
        "examples": "40",
    },
    GameName.GOOD_WORDS: {"preset": "black", "epsilons": "10, 30", "task": "spamassassin-words"},
}


@pytest.mark.parametrize("game", GameName)
def test_every_game_is_set_on_the_form_with_the_house_s_players_of_it(
    game: GameName, world: World, as_: Browser
) -> None:
    oscar = as_(world.oscar)
    boxes = re.findall(
        r'name="rounds-0-(attacks|defenses)" value="([\w-]+)"'
        r'[^>]*data-house="([^"]*)"[^>]*data-tasks="([^"]*)"(?: data-certifies="([^"]*)")?',
        oscar.get("/tournaments/new/").content.decode(),
    )
    assert boxes
    changes = dict(SETTINGS[game])
    task = changes.get("task", HEAD["task"])
    chosen = {
        side: [
            name
            for s, name, games, tasks, norms in boxes
            if s == side
            and game in games.split()
            and task in tasks.split()
            and (side == "attacks" or game != "certification" or "l2" in norms.split())
        ]
        for side in ("attacks", "defenses")
    }
    round_ = filled(changes.pop("preset"), game=game.value, **changes, **chosen)
    shown = oscar.post("/tournaments/new/preview/", sent(round_))
    assert "field-error" not in shown.content.decode(), words_of(shown)
    assert "of the house" in words_of(shown)
    made = oscar.post("/tournaments/new/", sent(round_))
    assert made.status_code == 302, words_of(made)
    round_made = Tournament.objects.get(slug="autumn").rounds.get()
    assert round_made.game == game
    for page in ("", "rules/"):
        html = oscar.get(f"/tournaments/autumn/{page}").content.decode()
        assert f'href="/tasks/{round_made.rules.task}/"' in html, page


def test_a_round_about_certificates_takes_no_house_defense_that_gives_none(
    world: World, as_: Browser
) -> None:
    """The page's script hides it; the preview and the form refuse it, with those that do."""
    oscar = as_(world.oscar)
    pool = {"attacks": ["pgd"], "defenses": ["certified-smoothing", "certified-linear"]}
    asked = sent(filled("white", game="certification", **pool))  # in L∞
    told = "does not play certification rounds in the norm linf: it certifies nothing there."
    others = "Those of the house that do: certified-linear. Leave it out of this round."
    for path in ("/tournaments/new/preview/", "/tournaments/new/"):
        shown = words_of(oscar.post(path, asked))
        assert told in shown
        assert others in shown
    assert not Tournament.objects.filter(slug="autumn").exists()


def test_the_preview_names_the_field_of_a_contradiction(world: World, as_: Browser) -> None:
    round_ = filled("white", architecture="hidden", title="")
    shown = words_of(as_(world.oscar).post("/tournaments/new/preview/", sent(round_)))
    assert "Architecture: Full parameters without the architecture" in shown
    assert not Tournament.objects.filter(slug="autumn").exists()


def test_the_preview_says_where_a_game_and_its_task_do_not_fit(world: World, as_: Browser) -> None:
    round_ = filled("white", game="trend_poisoning", norm="l2")
    shown = words_of(as_(world.oscar).post("/tournaments/new/preview/", sent(round_)))
    assert "a trend round needs a regression task, such as ice-cover" in shown


def test_the_preview_says_how_many_examples_there_are(world: World, as_: Browser) -> None:
    oscar = as_(world.oscar)
    shown = words_of(oscar.post("/tournaments/new/preview/", sent(filled("white", examples="598"))))
    assert "has 597 examples, and the round asks for 598: set examples = 597 at most" in shown


def test_without_a_script_buttons_preview_add_and_remove(world: World, as_: Browser) -> None:
    oscar = as_(world.oscar)
    page = oscar.post("/tournaments/new/", sent({**filled("white"), "preset": "grey"}, preview="1"))
    assert page.status_code == 200
    assert ThreatModel.grey().sentence() in words_of(page)
    assert 'value="100"' in page.content.decode()  # grey's probes stand in the form now
    two = oscar.post("/tournaments/new/", sent(filled("white"), add="1")).content.decode()
    assert 'name="rounds-1-title"' in two
    assert 'value="First"' in two
    rounds = (filled("white"), filled("black", title="Second"))
    one = oscar.post("/tournaments/new/", sent(*rounds, remove="0")).content.decode()
    assert 'value="Second"' in one
    assert 'value="First"' not in one
    assert 'name="rounds-1-title"' not in one
    assert not Tournament.objects.filter(slug="autumn").exists()


def test_the_form_calls_the_switches_what_the_glossary_calls_them(
    world: World, as_: Browser
) -> None:
    shown = words_of(as_(world.oscar).get("/tournaments/new/"))
    names = [switch.name for switch in ThreatModel.white().switches()]
    terms = {term.name for term in BY_SLUG.values()}
    for name in (*names, "True labels", "Target rule"):
        assert name in shown, name
        assert name in terms, name
    assert not re.search(r"\bS(?:[1-9]|1[01])\b", shown)


def shown_for(html: str, name: str) -> set[str]:
    """The games in which the page, with its script, shows this setting of the first round."""
    (found,) = re.findall(rf'name="rounds-0-{name}"[^>]*data-games="([^"]*)"', html)
    return set(found.split())


def test_every_setting_that_a_game_needs_is_shown_for_it(
    world: World, as_: Callable[[User | None], Client]
) -> None:
    """What the script hides is not sent: a game whose bound is hidden could not be made at all."""
    html = as_(world.oscar).get("/tournaments/new/").content.decode()
    bounded = set(GameName) - {"minimum_norm", "poisoning", "online_poisoning", "extraction"}
    assert shown_for(html, "epsilons") == bounded
    assert shown_for(html, "shares") == POISONED
    assert shown_for(html, "repeats") == USED_BY["repeats"]
    assert shown_for(html, "goal") == {"evasion", "transfer", "minimum_norm", "replay"}


def test_house_players_are_offered_for_the_games_that_they_play(
    world: World, as_: Callable[[User | None], Client]
) -> None:
    html = as_(world.oscar).get("/tournaments/new/").content.decode()
    boxes = re.findall(
        r'name="rounds-0-(?:attacks|defenses)"[^>]*?value="([^"]+)"[^>]*?data-house="([^"]*)"', html
    )
    games = {name: set(found.split()) for name, found in boxes}
    assert games["level-trend"] == games["ols-trend"] == {"trend_poisoning"}
    assert games["online-greedy"] == {"online_poisoning"}
    assert games["badnets"] == {"backdoor"}
    assert games["label-flip"] == {"poisoning"}
    assert "trend_poisoning" not in games["logistic-learner"]
    assert {"poisoning", "backdoor", "attacker_first"} <= games["logistic-learner"]
    assert {"evasion", "replay", "attacker_first"} <= games["pgd"]
    assert "certification" in games["certified-linear"]
    assert "certification" not in games["cnn"]


# --- switches that a game has no use for ----------------------------------------------------------


@pytest.mark.parametrize(
    ("game", "preset", "changes", "field", "sentence"),
    [
        (
            "poisoning", "black", {"samples": "40"}, "training_data",
            "handed what it poisons. Leave it as the black preset has it: samples, 150.",
        ),
        (
            "poisoning", "white", {"feedback": "success"}, "feedback",
            "no candidates can be checked. Leave it as the white preset has it: reply.",
        ),
        (
            "evasion", "transfer", {"output": "top_k", "top_k": "3"}, "output",
            "nothing is answered. Leave it as the transfer preset has it: label.",
        ),
        (
            "poisoning", "white", {"randomness": "seed"}, "randomness",
            "Leave it as the white preset has it: distribution.",
        ),
    ],
)  # fmt: skip
def test_a_switch_that_changes_nothing_is_refused_where_it_stands(
    game: str, preset: str, changes: dict[str, str], field: str, sentence: str
) -> None:
    budget = {"epsilons": "", "shares": "0.1"} if game == "poisoning" else {}
    form = form_of(filled(preset, game=game, **budget, **changes))
    assert not form.is_valid()
    (told,) = form.errors[field]
    assert f"{field} " in told
    assert "changes nothing" in told
    assert told.endswith(sentence)


@pytest.mark.parametrize("preset", ["white", "grey", "black"])
def test_a_hidden_switch_stands_as_the_preset_has_it_or_gives_way(preset: str) -> None:
    poisoning = filled(preset, game="poisoning", epsilons="", shares="0.1")
    hidden = ("training_data", "samples", "feedback", "true_label")
    sent_by_script = {name: text for name, text in poisoning.items() if name not in hidden}
    assert model_of(sent_by_script) == ThreatModel.preset(preset)
    blind = {**sent_by_script, "probes": "none", "queries": "", "total": ""}
    assert model_of(blind).feedback is Feedback.NONE


def test_the_page_is_told_which_games_use_a_switch() -> None:
    form = RoundForm()
    for switch, games in SWITCHES_USED_BY.items():
        assert set(form.fields[switch].widget.attrs["data-games"].split()) == games


def test_who_moves_first_is_asked_where_there_is_a_choice_and_offers_what_the_game_allows() -> None:
    told, form = round_usuals.for_script()["games"], RoundForm()
    asked = form.fields["first_mover"].widget.attrs["data-games"].split()
    assert asked == [game for game in GameName if len(told[game]["movers"]) > 1] == ["poisoning"]
    assert told["poisoning"]["movers"] == ["defender", "attacker"]
    for game in GameName:
        assert tuple(told[game]["movers"]) == MOVERS.get(game, (FirstMover.DEFENDER,))


def test_without_a_script_no_mover_is_offered_that_no_game_has() -> None:
    offered = {value for value, _ in RoundForm().fields["first_mover"].choices}
    assert offered == {mover for game in GameName for mover in movers_of(game)}
    assert "moves" not in RoundForm().fields


@pytest.mark.parametrize(
    ("game", "mover"), [("attacker_first", "attacker"), ("evasion", "defender")]
)
def test_where_it_is_not_asked_the_game_says_who_moves_first(game: str, mover: str) -> None:
    round_ = filled("white", game=game)
    hidden = {name: text for name, text in round_.items() if name != "first_mover"}
    assert model_of(hidden).first_mover == mover
