"""Tournaments from files: the documented example, the demo's, and what is wrong with the rest."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Team, User
from accounts.services import create_team
from arena.rounds import GameName, Norm
from arena.threat_model import Feedback, OutputKind, Randomness, ThreatModel
from events.errors import Invalid
from tournaments import guests, loading, services
from tournaments.models import Match, Tournament
from tournaments.states import MatchState, Phase

MINIMAL = """
schema_version = 1
title = "Spring"
task = "digits"
[[rounds]]
title = "White"
game = "evasion"
epsilons = [0.1]
"""


def parse(text: str) -> services.TournamentPlan:
    import tomllib

    return loading.parse(tomllib.loads(text))


def test_the_example_of_the_docs_loads(project_root: Path, oscar: User, tmp_path: Path) -> None:
    page = (project_root / "docs" / "running-a-tournament.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "spring.toml"
    file.write_text(example)
    call_command("tournament", "load", str(file), "--open", "--organizer", "oscar")
    tournament = Tournament.objects.get()
    assert tournament.rounds.count() >= 2


def test_the_demo_has_what_it_promises(project_root: Path, oscar: User) -> None:
    plan = loading.read(project_root / "platform" / "config" / "demo.toml")
    evasion = [r for r in plan.rounds if r.spec.game is not GameName.POISONING]
    poisoning = [r for r in plan.rounds if r.spec.game is GameName.POISONING]
    assert {r.spec.threat_model.name for r in evasion} == {"white", "grey", "black", "transfer"}
    assert len({name for r in evasion for name in r.attacks}) >= 8
    assert len({name for r in evasion for name in r.defenses}) >= 6
    assert len({name for r in poisoning for name in r.attacks}) >= 2
    assert len({name for r in poisoning for name in r.defenses}) >= 3
    assert all(100 <= r.spec.examples <= 200 for r in plan.rounds)
    tournament = services.create(plan, organizer=oscar)
    services.move(tournament=tournament, to=Phase.OPEN, organizer=oscar)
    assert Match.objects.filter(state=MatchState.PENDING).count() <= 80
    for round_ in tournament.rounds.all():
        for side in ("attack", "defense"):
            played = round_.matches.filter(state=MatchState.PENDING)
            met = set(played.values_list(f"{side}__house", flat=True))
            assert met == set(round_.house[f"{side}s"]), f"{side}s of {round_.title}"


def test_defaults_reach_every_round_and_a_round_may_differ() -> None:
    plan = parse(
        MINIMAL.replace("[[rounds]]", '[defaults]\nexamples = 50\nnorm = "l2"\n[[rounds]]')
        + '[[rounds]]\ntitle = "Other"\ngame = "evasion"\nnorm = "linf"\nepsilons = [0.2]\n'
    )
    assert [r.spec.norm for r in plan.rounds] == [Norm.L2, Norm.LINF]
    assert [r.spec.examples for r in plan.rounds] == [50, 50]


def test_an_extraction_round_counts_its_probes_in_total() -> None:
    plan = parse(
        MINIMAL.replace('"evasion"', '"extraction"').replace("epsilons = [0.1]", "")
        + 'threat_model = "black"\nqueries = 650\nattacks = ["equation-solving"]\n'
        'defenses = ["logistic-regression"]\n'
    )
    probes = plan.rounds[0].spec.threat_model.probes
    assert (probes.total, probes.per_example) == (650, None)


def test_single_switches_may_differ_from_the_preset() -> None:
    plan = parse(
        MINIMAL + 'threat_model = "black"\n[rounds.switches]\n'
        'output = {kind = "label"}\nprobes = {per_example = 7}\n'
    )
    model = plan.rounds[0].spec.threat_model
    assert model.output.kind is OutputKind.LABEL
    assert model.probes.per_example == 7


POISON = MINIMAL.replace('"evasion"', '"poisoning"').replace("epsilons = [0.1]", "shares = [0.1]")
THEFT = MINIMAL.replace('"evasion"', '"extraction"').replace("epsilons = [0.1]", "")


@pytest.mark.parametrize(
    ("text", "setting", "told"),
    [
        (MINIMAL + "shares = [0.1]\n", "shares", "in a round of evasion"),
        (MINIMAL + "trigger_area = 0.02\n", "trigger_area", "it is for backdoor."),
        (MINIMAL + 'target_rule = "random"\n', "target_rule", "goal = 'targeted'"),
        (POISON + "epsilons = [0.1]\n", "epsilons", "in a round of poisoning"),
        (POISON + 'norm = "l2"\n', "norm", "in a round of poisoning"),
        (THEFT + 'threat_model = "black"\nepsilons = [0.1]\n', "epsilons", "round of extraction"),
    ],
)
def test_a_setting_that_the_game_does_not_use_is_refused(
    text: str, setting: str, told: str
) -> None:
    with pytest.raises(Invalid, match=f"'White': {setting} changes nothing") as refused:
        parse(text)
    assert told in str(refused.value)
    assert str(refused.value).endswith("Leave it out.")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (POISON + "[rounds.switches]\nfeedback = 'success'\n", "feedback changes nothing in a"),
        (
            POISON + "[rounds.switches]\ntraining_data = {kind = 'samples', samples = 9}\n",
            "training_data changes nothing in a round of poisoning: the poisoner is handed",
        ),
        (
            THEFT + 'threat_model = "black"\n[rounds.switches]\ntrue_label = false\n',
            "true_label changes nothing in a round of extraction",
        ),
        (
            MINIMAL + "threat_model = 'transfer'\n[rounds.switches]\noutput = {kind = 'logits'}\n",
            "output changes nothing in a round that grants no probes",
        ),
        (
            MINIMAL.replace('"evasion"', '"transfer"')
            + "threat_model = 'transfer'\n[rounds.switches]\nfeedback = 'success'\n",
            "feedback changes nothing in a round of transfer",
        ),
    ],
)
def test_a_switch_that_the_game_does_not_use_is_refused(text: str, told: str) -> None:
    with pytest.raises(Invalid, match=f"'White': {re.escape(told)}") as refused:
        parse(text)
    assert str(refused.value).endswith("Leave it out.")


def test_a_switch_of_the_defaults_reaches_the_rounds_that_use_it_alone() -> None:
    switches = '[defaults.switches]\nfeedback = "success"\nrandomness = "secret"\n[[rounds]]'
    text = MINIMAL.replace("[[rounds]]", switches)
    poison = '[[rounds]]\ntitle = "Poison"\ngame = "poisoning"\nshares = [0.1]\n'
    evasion, poisoning = (r.spec.threat_model for r in parse(text + poison).rounds)
    assert evasion.feedback is Feedback.SUCCESS
    assert poisoning.feedback is ThreatModel.white().feedback
    assert poisoning.randomness is evasion.randomness is Randomness.SECRET
    with pytest.raises(Invalid, match="feedback in defaults changes nothing"):
        parse(
            text.replace('game = "evasion"\nepsilons = [0.1]', 'game = "poisoning"\nshares = [0.1]')
        )


def test_a_poisoning_round_takes_a_preset_without_its_probes() -> None:
    plan = parse(POISON + "[rounds.switches]\nprobes = {}\ntask_knowledge = 'none'\n")
    model = plan.rounds[0].spec.threat_model
    assert model.probes.none
    assert model.feedback is Feedback.NONE


def test_defaults_reach_the_rounds_that_use_them_alone() -> None:
    plan = parse(
        MINIMAL.replace(
            "[[rounds]]",
            '[defaults]\nnorm = "l2"\nepsilons = [0.2]\nshares = [0.1]\n[[rounds]]',
        )
        + '[[rounds]]\ntitle = "Poison"\ngame = "poisoning"\n'
        + '[[rounds]]\ntitle = "Nearest"\ngame = "minimum_norm"\n'
        + '[[rounds]]\ntitle = "Words"\ngame = "good_words"\nepsilons = [5]\n'
    )
    bounds = [(r.spec.norm, r.spec.epsilons, r.spec.shares) for r in plan.rounds]
    assert bounds == [
        (Norm.L2, (0.1,), ()),
        (Norm.LINF, (), (0.1,)),
        (Norm.L2, (), ()),
        (Norm.L0, (5.0,), ()),
    ]


def test_defaults_that_no_round_uses_are_refused() -> None:
    text = MINIMAL.replace("[[rounds]]", "[defaults]\nbatches = 5\n[[rounds]]")
    with pytest.raises(Invalid, match="batches in defaults changes nothing"):
        parse(text)


TREND = (
    MINIMAL.replace('"evasion"', '"trend_poisoning"').replace('"digits"', '"ice-cover"')
    + 'norm = "l2"\n'
)
FIRST = MINIMAL.replace('"evasion"', '"attacker_first"')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MINIMAL + "examples = 598\n", "has 597 examples, and the round asks for 598"),
        (TREND + "examples = 41\n", "has 40 series, and the round asks for 41"),
        (
            FIRST + "examples = 400\npublished = 300\n",
            "has 597 examples, and examples + published are 400 + 300",
        ),
    ],
)
def test_more_examples_than_the_split_has_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=re.escape(sentence)):
        services.check(parse(text))


def test_where_nothing_is_said_a_small_split_is_judged_whole() -> None:
    for text, counts in (
        (MINIMAL + "examples = 597\n", (597, 200)),
        (MINIMAL, (200, 200)),
        (TREND, (40, 200)),
        (FIRST + "examples = 500\n", (500, 97)),
    ):
        plan = parse(text)
        services.check(plan)
        spec = plan.rounds[0].spec
        assert (spec.examples, spec.published) == counts


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MINIMAL + "[rounds.switches]\nprobes = {per_example = 7}\n", "keep one"),
        (
            MINIMAL.replace('"evasion"', '"trend_poisoning"').replace(
                "epsilons", 'norm = "l2"\nepsilons'
            ),
            "a trend round grants no probes",
        ),
    ],
)
def test_queries_that_would_not_count_are_refused(text: str, sentence: str) -> None:
    black = text.replace('game = "', 'threat_model = "black"\nqueries = 50\ngame = "')
    with pytest.raises(Invalid, match=sentence):
        parse(black)


def test_a_threat_model_that_is_none_is_told_before_its_queries() -> None:
    with pytest.raises(Invalid, match="threat_model is 'blak'; it must be one of white, grey"):
        parse(MINIMAL + 'threat_model = "blak"\nqueries = 50\n')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "schema_version"),
        (MINIMAL.replace('title = "Spring"', ""), "must say title"),
        (MINIMAL + "epsilon = 0.1\n", "in round 'White'. Did you mean 'epsilons'?"),
        (MINIMAL.replace('"evasion"', '"chess"'), "'White'"),
        (MINIMAL + 'threat_model = "pink"\n', "must be one of white"),
        (MINIMAL.replace("epsilons = [0.1]", "epsilons = [0.2, 0.1]"), "ascending"),
        (MINIMAL.replace("epsilons = [0.1]", "epsilons = []"), "at least one epsilon"),
        (MINIMAL + 'opens_at = "tomorrow"\n', "2030-01-31"),
        (MINIMAL + "[rounds.switches]\nparameters = 'telepathy'\n", "'White'"),
        (MINIMAL + "[rounds.attack_limits]\npatience = 3\n", "'White'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=re.escape(sentence)):
        parse(text)


def test_an_unknown_task_is_refused(oscar: User) -> None:
    plan = parse(MINIMAL.replace('"digits"', '"atlantis"'))
    with pytest.raises(Invalid, match="no task 'atlantis'"):
        services.create(plan, organizer=oscar)


def test_the_command_says_what_is_wrong(tmp_path: Path, oscar: User) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("tournament", "load", str(tmp_path / "none.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("title = ")
    with pytest.raises(CommandError, match="not valid TOML"):
        call_command("tournament", "load", str(broken))


def test_the_form_a_page_fills_in_is_checked_as_the_file(make_stage: Any) -> None:
    with pytest.raises(Invalid, match="at least one round"):
        services.check(services.TournamentPlan(title="Empty", task="digits", rounds=()))


# --- guests and organizers of a file --------------------------------------------------------------

PRIVATE = MINIMAL.replace("[[rounds]]", 'visibility = "private"\n[[rounds]]', 1)


def with_guests(keys: str, text: str = PRIVATE) -> str:
    return text.replace("[[rounds]]", f"{keys}\n[[rounds]]", 1)


@pytest.fixture
def olga(db: None) -> User:
    return account("olga", is_organizer=True)


def account(name: str, **rights: bool) -> User:
    return User.objects.create_user(name, f"{name}@example.org", **rights)


def team_of(name: str) -> Team:
    return create_team(user=account(name.lower()), name=name)


def test_a_file_invites_teams_and_names_organizers(oscar: User, olga: User, tmp_path: Path) -> None:
    moat = team_of("Moat")
    file = tmp_path / "spring.toml"
    file.write_text(with_guests('slug = "spring"\ninvited = ["moat"]\norganizers = ["olga"]'))
    call_command("tournament", "load", str(file), "--organizer", "oscar")
    tournament = Tournament.objects.get()
    assert list(tournament.invited.all()) == [moat]
    assert guests.names_of_organizers(tournament) == ["olga", "oscar"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (with_guests('invited = ["Moatt"]'), "no team 'Moatt'"),
        (with_guests('organizers = ["nobody"]'), "'nobody' is no organizer"),
        (with_guests('organizers = ["moat"]'), "'moat' is no organizer"),
        (with_guests('invited = ["Moat"]', MINIMAL), "Everybody sees a public tournament"),
        (with_guests('invited = "Moat"'), "invited must be a list of names of teams"),
        (with_guests("organizers = [7]"), "organizers must be a list of names of accounts"),
    ],
)
def test_a_file_with_a_guest_that_cannot_be_makes_no_tournament(
    text: str, told: str, oscar: User
) -> None:
    team_of("Moat")
    with pytest.raises(Invalid, match=told):
        services.create(parse(text), organizer=oscar)
    assert not Tournament.objects.exists()


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("tournament", *arguments, stdout=out)
    return out.getvalue()


def test_teams_are_invited_by_a_command_and_uninvited(oscar: User) -> None:
    for name in ("Moat", "Wall"):
        team_of(name)
    made = services.create(parse(with_guests('slug = "spring"')), organizer=oscar)
    assert said("invite", "spring", "wall", "Moat") == "Invited to spring: Moat, Wall.\n"
    assert said("invite", "spring", "moat", "--remove") == "Invited to spring: Wall.\n"
    with pytest.raises(CommandError, match="'Moat' is not invited"):
        said("invite", "spring", "Wall", "Moat", "--remove")
    assert guests.names_of_invited(made) == ["Wall"]
    with pytest.raises(CommandError, match="no team 'Nobody'"):
        said("invite", "spring", "Moat", "Nobody")
    assert guests.names_of_invited(made) == ["Wall"]
    with pytest.raises(CommandError, match="There is no tournament 'sprint'"):
        said("invite", "sprint", "Moat")


def test_organizers_are_named_by_a_command_and_one_stays(oscar: User, olga: User) -> None:
    made = services.create(parse(with_guests('slug = "spring"')), organizer=oscar)
    assert said("organizers", "spring", "olga") == "spring is run by olga, oscar.\n"
    assert said("organizers", "spring", "oscar", "--remove") == "spring is run by olga.\n"
    with pytest.raises(CommandError, match="Somebody has to run"):
        said("organizers", "spring", "olga", "--remove")
    with pytest.raises(CommandError, match="'nobody' is no organizer"):
        said("organizers", "spring", "oscar", "nobody")
    assert guests.names_of_organizers(made) == ["olga"]


def test_where_nobody_runs_a_tournament_any_more_an_administrator_does(oscar: User) -> None:
    services.create(parse(with_guests('slug = "spring"')), organizer=oscar)
    team_of("Moat")
    User.objects.update(is_organizer=False)
    with pytest.raises(CommandError, match="Nobody runs this tournament any more"):
        said("invite", "spring", "Moat")
    account("ada", is_superuser=True)
    assert said("invite", "spring", "Moat") == "Invited to spring: Moat.\n"
