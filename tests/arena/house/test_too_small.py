"""Pictures too small for a house player's net: it is refused, and plays on all that are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arena import house, tasks
from arena.errors import PackageError
from arena.house.registry import LEAST_SIDE
from arena.tasks.own_data import Wishes, import_own


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADVERSARIUM_DATA", str(tmp_path / "data"))
    return tmp_path / "own.npz"


def imported(path: Path, shape: tuple[int, ...]) -> str:
    x = np.random.RandomState(1).randint(0, 256, (60, *shape), np.uint8)
    np.savez(path, x=x, y=np.arange(60) % 2)
    import_own("own", path, Wishes())
    return "own"


def fitted(name: str, task: str) -> None:
    """Trained in this process, on ten examples."""
    module = __import__(f"arena.house.learners.{name.replace('-', '_')}", fromlist=["_net"])
    found = tasks.load(task)
    net = module._net(found.shape, len(found.classes))
    net(module.torch.from_numpy(found.train.x[:10].copy()))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", sorted(LEAST_SIDE))
@pytest.mark.parametrize("shape", [(3, 3), (2, 5, 3), (1, 8)])
def test_it_is_refused_before_its_net_crashes(own: Path, shape: tuple[int, ...], name: str) -> None:
    task = imported(own, shape)
    with pytest.raises(RuntimeError, match=r"Kernel size|output size"):
        fitted(name, task)
    told = house.cannot_play(name, task) or ""
    assert "4 x 4 at least" in told
    with pytest.raises(PackageError, match="4 x 4 at least"):
        house.package(name, task)


@pytest.mark.parametrize("name", sorted(LEAST_SIDE))
@pytest.mark.parametrize("shape", [(4, 4), (4, 5, 3)])
def test_it_plays_on_what_is_just_large_enough(
    own: Path, shape: tuple[int, ...], name: str
) -> None:
    task = imported(own, shape)
    fitted(name, task)
    assert house.cannot_play(name, task) is None
    assert house.package(name, task).manifest.entry


def test_others_play_on_small_pictures(own: Path) -> None:
    assert house.cannot_play("logistic-learner", imported(own, (3, 3))) is None
