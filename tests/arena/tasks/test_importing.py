from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from arena import tasks
from arena.errors import TaskError
from arena.tasks import importing
from arena.tasks.idx import parse_idx, unpacked
from arena.tasks.library import HOUSE_DIRECTORY

CLOSED = "http://127.0.0.1:1"  # nobody listens there


def idx(array: np.ndarray, *, code: int = 0x08) -> bytes:
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four gzipped IDX files, 40 and 20 images, that pass for the canonical MNIST."""
    folder = tmp_path / "idx"
    folder.mkdir()
    generator = np.random.default_rng(0)
    contents = {}
    for part, n in (("train", 40), ("test", 20)):
        contents[f"x_{part}"] = idx(generator.integers(0, 256, size=(n, 28, 28)))
        contents[f"y_{part}"] = idx(np.arange(n) % 10)
    for key, content in contents.items():
        (folder / f"{importing.FILES[key]}.gz").write_bytes(gzip.compress(content))
    pins = {key: hashlib.sha256(content).hexdigest() for key, content in contents.items()}
    monkeypatch.setitem(
        importing.CANONICAL,
        "mnist",
        importing.Canonical(sha256=pins, mirrors=(CLOSED,)),
    )
    unpinned = (HOUSE_DIRECTORY / "mnist.toml").read_text().splitlines(keepends=True)
    house = tmp_path / "house"
    house.mkdir()
    (house / "mnist.toml").write_text("".join(li for li in unpinned if "sha256" not in li))
    monkeypatch.setattr(importing, "HOUSE_DIRECTORY", house)
    return folder


def test_an_imported_set_is_loaded_by_name(small_mnist: Path, user_data: Path) -> None:
    assert importing.import_idx("mnist", small_mnist) == user_data / "mnist.toml"
    task = tasks.load("mnist")
    assert task.train.x.shape == (40, 1, 28, 28)
    assert task.practice.y.tolist() == (np.arange(20) % 10).tolist()


def test_a_set_may_be_imported_elsewhere_and_loaded_by_path(
    small_mnist: Path, tmp_path: Path
) -> None:
    path = importing.import_idx("mnist", small_mnist, tmp_path / "elsewhere")
    assert path.parent == tmp_path / "elsewhere"
    assert len(tasks.load(path).train) == 40


def test_plain_files_and_dotted_names_serve_as_well(small_mnist: Path, tmp_path: Path) -> None:
    for packed in sorted(small_mnist.iterdir()):
        plain = packed.with_name(packed.stem.replace("-idx", ".idx"))
        plain.write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert importing.import_idx("mnist", small_mnist, tmp_path / "there").is_file()


def test_a_file_that_is_not_the_canonical_one_is_refused(
    small_mnist: Path, user_data: Path
) -> None:
    labels = small_mnist / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(idx(np.zeros(20))))
    with pytest.raises(TaskError, match=r"t10k-labels-idx1-ubyte\.gz is not the canonical file"):
        importing.import_idx("mnist", small_mnist)
    assert not user_data.exists()


def test_a_missing_file_is_named_with_what_is_expected(small_mnist: Path) -> None:
    (small_mnist / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(TaskError, match="holds no train-labels-idx1-ubyte"):
        importing.import_idx("mnist", small_mnist)


def test_a_damaged_gzip_file_is_refused(small_mnist: Path) -> None:
    images = small_mnist / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:100])
    with pytest.raises(TaskError, match="get the file again"):
        importing.import_idx("mnist", small_mnist)


def test_a_folder_that_cannot_be_written_to_is_named(small_mnist: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TaskError, match="ADVERSARIUM_DATA"):
        importing.import_idx("mnist", small_mnist, tmp_path / "file")


def test_only_the_known_sets_are_imported(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="only mnist and fashion-mnist can"):
        importing.import_idx("cifar10", tmp_path)


@pytest.fixture
def mirror(small_mnist: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Says nothing."""

    handler = functools.partial(Quiet, directory=str(small_mnist))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_set_is_fetched_from_the_first_mirror_that_answers(mirror: str) -> None:
    importing.fetch("mnist", mirrors=[CLOSED, mirror], timeout=5)
    assert len(tasks.load("mnist").train) == 40


def test_what_a_mirror_gives_is_checked_like_any_file(mirror: str, small_mnist: Path) -> None:
    (small_mnist / "t10k-labels-idx1-ubyte.gz").write_bytes(b"<html>Welcome to the hotel</html>")
    with pytest.raises(TaskError, match="is not the canonical file"):
        importing.fetch("mnist", mirrors=[mirror], timeout=5)


def test_without_internet_the_import_command_is_named(small_mnist: Path) -> None:
    with pytest.raises(TaskError, match="arena tasks import mnist --from DIR"):
        importing.fetch("mnist", timeout=5)


def test_a_mirror_is_a_web_address(small_mnist: Path) -> None:
    with pytest.raises(TaskError, match="is not a web address"):
        importing.fetch("mnist", mirrors=["file:///etc"])


def test_idx_is_read_in_row_major_order(tmp_path: Path) -> None:
    array = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "plain").write_bytes(idx(array))
    (tmp_path / "packed").write_bytes(gzip.compress(idx(array)))
    for name in ("plain", "packed"):
        assert parse_idx(unpacked(tmp_path / name), where=name).tolist() == array.tolist()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "does not start as an IDX file"),
        (b"\x01" + idx(np.zeros(2))[1:], "does not start as an IDX file"),
        (idx(np.zeros(2), code=0x0D), "type 0x0d"),
        (bytes([0, 0, 8, 0]), "0 dimensions"),
        (bytes([0, 0, 8, 3, 0, 0]), "3 dimensions"),
        (bytes([0, 0, 8, 255]) + b"\0" * 1020, "255 dimensions"),
        (idx(np.zeros(5))[:-1], "cut off or padded"),
        (idx(np.zeros(5)) + b"\0", "cut off or padded"),
        (bytes([0, 0, 8, 2]) + b"\xff" * 8, "cut off or padded"),
    ],
)
def test_a_damaged_idx_file_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(TaskError, match=complaint):
        parse_idx(content, where="file")


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arena.tasks.idx.LARGEST_FILE_BYTES", 1_000)
    (tmp_path / "bomb").write_bytes(gzip.compress(b"\0" * 100_000))
    with pytest.raises(TaskError, match="get the file again"):
        unpacked(tmp_path / "bomb")
