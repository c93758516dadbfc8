"""The page of a match: figures, logs, pictures, flags."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arena.errors import FaultCode
from tests.platform.web.reading import Browser, text_of, words_of
from tests.platform.web.seeding import World, judge
from tournaments.models import Tournament, Verdict
from tournaments.states import Phase
from web.figures import between, heat, percent
from web.findings import FLAGS, REMEDIES, flag_sentence
from web.pages import outcomes
from web.pages.matches import CURVES
from web.pages.pictures import perturbation_pixels, pixels_of
from web.templatetags.arena import points


def test_a_match_page_tells_figures_with_intervals_and_the_curve_as_a_table(
    world: World, as_: Browser
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    page = text_of(as_(world.oscar).get(f"/matches/{match.uid}/"))
    for epsilon in ("0.1", "0.2", "0.3"):
        assert f'<th scope="row">{epsilon}</th>' in page
    assert 'id="curve-data"' in page
    assert percent(match.verdict.metrics["robust_accuracy"]) in page
    assert page.count('class="gallery-row"') == 12


def test_a_corruption_round_tells_every_kind_and_names_its_levels(
    world: World, as_: Browser
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    match.round.spec |= {"norm": "corruption", "epsilons": [1.0, 2.0, 3.0]}
    match.round.save()
    match.verdict.provenance["corruptions"] = {"fog": 0.875, "gaussian_blur": 0.25}
    match.verdict.metrics["corruption_accuracy"] = 0.5625
    match.verdict.save()
    page = text_of(as_(world.oscar).get(f"/matches/{match.uid}/"))
    assert "common corruptions, severity 1, 2, 3" in page
    assert page.index("gaussian blur") < page.index("fog")
    assert "56.2 %" in page
    assert "Against severity" in page
    assert "severity 0.3" in page
    assert "corruptions fog" not in page


def test_figures_are_for_everyone_but_seeds_are_not(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    page = text_of(as_(None).get(f"/matches/{match.uid}/"))
    assert percent(match.verdict.metrics["robust_accuracy"]) in page
    assert str(match.seed) not in page
    assert match.verdict.provenance["defense_sha256"] not in page
    oscars = text_of(as_(world.oscar).get(f"/matches/{match.uid}/"))
    assert match.verdict.provenance["defense_sha256"] in oscars
    assert "gallery-row" not in page


def test_where_a_verdict_comes_from_is_told_in_words(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    claim = {"label": 3, "radius": 2.0, "example": 7, "distance": 0.375}  # PostgreSQL's order
    match.verdict.provenance |= {
        "refuted": [claim], "poison_points": [[3, 4], [5]], "seconds": {"attack": 1.25},
    }  # fmt: skip
    match.verdict.save()
    words = words_of(as_(world.oscar).get(f"/matches/{match.uid}/"))
    for row in (
        "Version of torch 2.13.0",
        "SHA-256 of the attack&#x27;s package",
        "Sandbox bubblewrap",
        "Seconds of the attack 1.25",
        "Refuted claims example 7, distance 0.375, radius 2.0, label 3",
        "Points of each poison 3 + 4; 5",
    ):
        assert row in words
    seen = words_of(as_(None).get(f"/matches/{match.uid}/"))
    assert "Sandbox bubblewrap" in seen
    for kept in ("Refuted claims", "Points of each poison", "SHA-256"):
        assert kept not in seen


def test_a_fact_that_nobody_has_named_open_is_for_those_who_may_have_the_outcome(
    world: World, as_: Browser
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    match.verdict.provenance["new_fact"] = "told to few"
    match.verdict.save()
    address = f"/matches/{match.uid}/"
    assert "told to few" in text_of(as_(world.oscar).get(address))
    assert "told to few" not in text_of(as_(None).get(address))


def test_the_digest_of_an_outcome_waits_for_the_close_as_the_outcome_does(
    world: World, as_: Browser
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    digest = "ab" * 32
    Verdict.objects.filter(match=match).update(outcome_sha256=digest)
    address = f"/matches/{match.uid}/"
    assert digest in text_of(as_(world.oscar).get(address))
    assert digest not in text_of(as_(None).get(address))
    Tournament.objects.filter(pk=world.tournament.pk).update(state=Phase.FROZEN)
    assert digest in text_of(as_(None).get(address))


def test_a_log_loses_its_control_characters(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3", 3)
    response = as_(world.alice).get(f"/matches/{match.uid}/attack.log.txt")
    assert b"\x1b" not in response.content
    assert response["Content-Disposition"].startswith("attachment")


def test_a_team_is_told_when_it_will_read_its_log(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    for reader, name in ((world.alice, "Momentum PGD"), (world.dana, "Bulwark v3")):
        page = text_of(as_(reader).get(f"/matches/{match.uid}/"))
        assert page.count("once this round is published") == 1
        assert f"What {name} printed" in page
    assert "once this round is published" not in text_of(as_(None).get(f"/matches/{match.uid}/"))
    refused = as_(world.alice).get(f"/api/v1/matches/{match.uid}/log/?side=attack")
    assert refused.status_code == 404
    assert "once this round is published" in refused.json()["detail"]
    other = as_(world.alice).get(f"/api/v1/matches/{match.uid}/log/?side=defense")
    assert other.json()["detail"] == "There is no such log for you."


def test_the_level_of_the_gallery_is_checked(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3", 3)
    good = as_(world.alice).get(f"/matches/{match.uid}/?level=0")
    assert "pictures/attacked-0-" in text_of(good)
    beyond = as_(world.alice).get(f"/matches/{match.uid}/?level=9")
    assert "gallery-row" not in text_of(beyond)


def test_a_perturbation_is_ember_where_added_and_tide_where_taken_away() -> None:
    delta = np.zeros((1, 1, 3), np.float32)
    delta[0, 0] = [0.3, -0.3, 0.0]
    added, taken, left = perturbation_pixels(delta)[0]
    assert added[0] > added[2]
    assert taken[0] < taken[1]
    assert min(left) > 230


def test_a_picture_has_the_size_of_its_example() -> None:
    image = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 3, 4)
    assert Image.fromarray(pixels_of(image)).size == (4, 3)
    assert pixels_of(np.zeros((3, 5, 6), np.float32)).shape == (5, 6, 3)


def test_heat_grows_with_success() -> None:
    assert [heat(None), heat(0.0), heat(0.42), heat(1.0)] == [
        "heat-none",
        "heat-0",
        "heat-4",
        "heat-10",
    ]


def test_no_share_is_told_as_less_than_nothing_where_it_rounds_to_nothing() -> None:
    assert [percent(-0.0004), percent(-0.004, 0), points(-0.004)] == ["0.0 %", "0 %", "0"]
    assert [percent(-0.02), points(-0.02)] == ["−2.0 %", "−2"]
    assert between(-0.02, 0.5) == "−2 – 50\xa0%", "no line begins with the sign"


def test_each_flag_of_a_verdict_is_told_as_a_sentence(project_root: Path) -> None:
    rules = (project_root / "docs" / "rules.md").read_text("utf-8")
    (table,) = re.findall(r"Flags, which are no faults:\n\n(.*?)\n\n", rules, re.DOTALL)
    flags = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    assert set(flags) == set(FLAGS)
    assert flag_sentence("certificate_broken").startswith("Its certificate is broken")
    assert flag_sentence("a flag to come") == "a flag to come"


def test_that_the_other_side_failed_as_well_is_told_as_a_sentence() -> None:
    told = flag_sentence("also_defense_wrong_shape")
    assert told == "The defense failed as well: the player answered with the wrong shape."
    for code in FaultCode:
        assert "_" not in flag_sentence(f"also_attack_{code.value}"), code


def test_the_usual_reasons_of_faults_are_those_of_the_docs(project_root: Path) -> None:
    page = (project_root / "docs" / "writing-a-submission.md").read_text("utf-8")
    (table,) = re.findall(r"\| fault \| usual reason \|\n\| --- .*\n((?:\|.*\n?)+)", page)
    told = {
        code: reason.replace("`", "")
        for codes, reason in re.findall(r"^\| (.*?) \| (.*) \|$", table, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    }
    assert told == REMEDIES
    assert set(REMEDIES) == set(FaultCode)


def test_the_side_at_fault_is_told_the_usual_reason(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3", 1)
    match.verdict.delete()
    judge(match, fault="attack")
    page, reason = f"/matches/{match.uid}/", f"Usual reason: {REMEDIES[FaultCode.CRASHED]}"
    shown = text_of(as_(world.oscar).get(page))
    assert reason in shown
    assert "The other side's row is untouched by it." in html.unescape(shown)
    assert "It counts on that side alone" not in shown  # said once is enough
    assert "Usual reason" not in text_of(as_(world.dana).get(page))


def test_an_example_that_was_wrong_from_the_start_is_not_called_held(
    world: World, as_: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3", 1)
    columns = outcomes.columns_of(world.oscar, match)
    none = np.zeros_like(columns["clean_right"])
    wrong = {**columns, "clean_right": none, "broken": none}
    monkeypatch.setattr(outcomes, "columns_of", lambda *_: wrong)
    shown = text_of(as_(world.oscar).get(f"/matches/{match.uid}/"))
    assert "wrong from the start" in shown
    assert "; held" not in shown


def test_a_gallery_without_kills_promises_none(
    world: World, as_: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3", 1)
    address = f"/matches/{match.uid}/"
    assert "Kills first; 12 of" in text_of(as_(world.oscar).get(address))
    columns = outcomes.columns_of(world.oscar, match)
    held = {**columns, "broken": np.zeros_like(columns["broken"])}
    monkeypatch.setattr(outcomes, "columns_of", lambda *_: held)
    assert "No kills; 12 of" in text_of(as_(world.oscar).get(address))


@pytest.mark.parametrize(
    "together",
    [
        ("fidelity", "surrogate_accuracy"),
        ("robust_accuracy", "certified_accuracy", "attack_success_rate", "noise_success_rate"),
        ("robust_accuracy", "corruption_accuracy", "attack_success_rate", "noise_success_rate"),
        ("attack_success_rate", "trend_kept", "slope_left"),
        ("fresh_error", "unprepared_error"),
        ("poisoned_error", "delta_error"),
    ],
)
def test_no_two_lines_of_a_curve_have_one_colour(together: tuple[str, ...]) -> None:
    """As charts.js gives them: by name, and from its spare ones in turn."""
    script = (Path(__file__).parents[3] / "platform/web/static/web/charts.js").read_text("utf-8")
    named = dict(re.findall(r'"([^"]+)": "(--\w+)"', script))
    spare = iter(re.findall(r'"(--\w+)"', script.split("const spare = ")[1].split("]")[0]))
    labels = [label for key, label in CURVES if key in together]
    tones = [named.get(label) or next(spare) for label in labels]
    assert len(set(tones)) == len(together)
