"""Data that Oscar imported: a task like any other on the site, in a form and in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arena.tasks.own_data import Wishes, import_own
from events.errors import Invalid
from tests.platform.web.filling import filled, sent
from tests.platform.web.reading import Browser
from tests.platform.web.seeding import World
from tournaments import loading, services
from tournaments.models import Tournament


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVERSARIUM_DATA", str(tmp_path / "data"))
    rows = [f"{20 + i % 50},{1000 - 7 * i},{'yes' if i % 3 else 'no'}" for i in range(60)]
    (tmp_path / "loans.csv").write_text("\n".join(["age,income <b>,paid", *rows]))
    import_own("loans", tmp_path / "loans.csv", Wishes(label="paid", title="Loans"))
    ice = [f"{1950 + t},{lake},{90 - t - lake}" for lake in range(6) for t in range(9)]
    (tmp_path / "ice.csv").write_text("\n".join(["winter,lake,days", *ice]))
    import_own("ice", tmp_path / "ice.csv", Wishes(label="days", regression=True, unit="days"))


@pytest.mark.usefixtures("own")
def test_its_page_says_what_0_and_1_of_each_feature_stand_for(world: World, as_: Browser) -> None:
    page = as_(None).get("/tasks/loans/").content.decode()
    assert "20 to 69" in page
    assert "587 to 1,000" in page
    assert "income &lt;b&gt;" in page
    ice = as_(None).get("/tasks/ice/").content.decode()
    assert "1,950 to 1,958" in ice
    described = as_(None).get("/api/v1/tasks/loans/").json()
    assert described["scaling"] == {"low": [20.0, 587.0], "high": [69.0, 1000.0]}


@pytest.mark.usefixtures("own")
def test_a_tournament_on_it_is_made_by_form_and_by_file(world: World, as_: Browser) -> None:
    round_ = filled("black", epsilons="0.1", examples="12", defenses=["logistic-regression"])
    made = as_(world.oscar).post("/tournaments/new/", sent(round_, task="loans"))
    assert made.status_code == 302, made.content.decode()
    plan = loading.parse(
        {
            "schema_version": 1,
            "slug": "trends",
            "title": "Trends",
            "task": "ice",
            "rounds": [
                {
                    "title": "First",
                    "game": "trend_poisoning",
                    "threat_model": "white",
                    "norm": "l2",
                    "epsilons": [0.3],
                    "examples": 2,
                    "attacks": ["level-trend"],
                    "defenses": ["ols-trend"],
                }
            ],
        }
    )
    services.create(plan, organizer=world.oscar)
    played_on = {t.slug: t.task for t in Tournament.objects.filter(slug__in=("autumn", "trends"))}
    assert played_on == {"autumn": "loans", "trends": "ice"}


@pytest.mark.usefixtures("own")
def test_a_round_takes_no_house_defense_that_has_no_weights_for_its_task(
    world: World, as_: Browser
) -> None:
    """It would meet nobody; the page's script hides it, the preview and the form refuse it."""
    oscar = as_(world.oscar)
    pool = {"attacks": ["square"], "defenses": ["logistic-regression", "cnn"]}
    told = "&#x27;cnn&#x27; has no weights for task &#x27;loans&#x27;"
    asked = sent(filled("black", epsilons="0.1", examples="12", **pool), task="loans")
    assert told in oscar.post("/tournaments/new/preview/", asked).content.decode()
    refused = oscar.post("/tournaments/new/", asked)
    assert refused.status_code == 422
    assert told in refused.content.decode()
    assert not Tournament.objects.filter(slug="autumn").exists()


def test_a_round_takes_no_house_learner_whose_net_is_too_large_for_its_pictures(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would crash in every match, and forfeit."""
    monkeypatch.setenv("ADVERSARIUM_DATA", str(tmp_path / "data"))
    x = np.random.RandomState(1).randint(0, 256, (60, 3, 3), np.uint8)
    np.savez(tmp_path / "dots.npz", x=x, y=np.arange(60) % 2)
    import_own("dots", tmp_path / "dots.npz", Wishes())

    def entered(*learners: str) -> None:
        round_ = {
            "title": "Poison",
            "game": "poisoning",
            "threat_model": "white",
            "shares": [0.1],
            "examples": 4,
            "attacks": ["label-flip"],
            "defenses": list(learners),
        }
        plan = loading.parse(
            {"schema_version": 1, "title": "Dots", "task": "dots", "rounds": [round_]}
        )
        services.create(plan, organizer=world.oscar)

    entered("logistic-learner")
    with pytest.raises(Invalid, match="needs pictures of 4 x 4 at least"):
        entered("logistic-learner", "cnn-learner")


def test_no_round_is_made_on_data_that_is_not_on_this_machine(
    world: World, as_: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its matches would be void, and its boards stay empty."""
    monkeypatch.setenv("ADVERSARIUM_DATA", str(tmp_path))
    oscar = as_(world.oscar)
    assert "mnist (not on this machine)" in oscar.get("/tournaments/new/").content.decode()
    refused = oscar.post("/tournaments/new/", sent(filled("black"), task="mnist"))
    assert refused.status_code == 422
    assert "arena tasks import mnist" in refused.content.decode()
    assert set(Tournament.objects.values_list("slug", flat=True)) == {"spring"}
