"""Brings in the full MNIST and Fashion-MNIST, which are too large to ship.

The files are pinned by the SHA-256 of what is inside them: every canonical copy passes, plain or
gzipped by whomever, and nothing else does.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import TaskError
from arena.tasks.idx import LARGEST_FILE_BYTES, parse_idx, unpacked
from arena.tasks.library import HOUSE_DIRECTORY, user_directory

FETCH_TIMEOUT_SECONDS: Final = 30.0

#: Key of the archive -> canonical file name.
FILES: Final[Mapping[str, str]] = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


@dataclass(frozen=True)
class Canonical:
    """A published data set: hex SHA-256 of each unpacked file by key, and where copies are."""

    sha256: Mapping[str, str]
    mirrors: Sequence[str]


CANONICAL: Final[Mapping[str, Canonical]] = {
    "mnist": Canonical(
        sha256={
            "x_train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "y_train": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "x_test": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "y_test": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
    ),
    "fashion-mnist": Canonical(
        sha256={
            "x_train": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "y_train": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "x_test": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "y_test": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ),
    ),
}


def import_idx(name: str, source: Path, destination: Path | None = None) -> Path:
    """Stores the set ``name`` from the four IDX files in the folder ``source``.

    Writes an archive and a TOML file into ``destination`` (default: the user's data directory)
    and returns the path of the TOML file, which ``load(name)`` finds from then on. Raises
    :class:`TaskError` where a file is missing or is not the canonical one.
    """
    arrays = read_canonical(name, source)
    folder = user_directory() if destination is None else destination
    try:
        return _store(name, arrays, folder)
    except OSError as error:
        raise TaskError(
            f"Task {name!r} cannot be stored in {folder} ({error}): make room or set "
            "ADVERSARIUM_DATA to a folder that you may write to."
        ) from error


def read_canonical(name: str, source: Path) -> dict[str, NDArray[Any]]:
    """Images (n, 1, 28, 28) uint8 and labels (n,) uint8 by key, checked against the pins."""
    canonical = _canonical(name)
    arrays: dict[str, NDArray[Any]] = {}
    for key, filename in FILES.items():
        array = _read_pinned(_find(source, filename, name=name), canonical.sha256[key], name=name)
        arrays[key] = array[:, None] if key.startswith("x_") else array
    return arrays


def fetch(
    name: str,
    destination: Path | None = None,
    *,
    timeout: float = FETCH_TIMEOUT_SECONDS,
    mirrors: Sequence[str] | None = None,
) -> Path:
    """Downloads the four files from the first public mirror that gives them, then imports them.

    ``timeout`` in seconds holds for each answer of the network. ``mirrors`` replaces the built-in
    ones. Raises :class:`TaskError` where no mirror can be reached or what came is not canonical.
    """
    canonical = _canonical(name)
    with tempfile.TemporaryDirectory(prefix="adversarium-") as scratch:
        for filename in FILES.values():
            _download(
                name,
                f"{filename}.gz",
                mirrors=canonical.mirrors if mirrors is None else mirrors,
                folder=Path(scratch),
                timeout=timeout,
            )
        return import_idx(name, Path(scratch), destination)


def _canonical(name: str) -> Canonical:
    if name not in CANONICAL:
        raise TaskError(
            f"{name!r} cannot be imported from IDX files; only {' and '.join(CANONICAL)} can. For "
            "data of your own give a file: --from DATA.csv or --from DATA.npz."
        )
    return CANONICAL[name]


def _find(source: Path, filename: str, *, name: str) -> Path:
    dotted = filename.replace("-idx", ".idx")  # as some unpackers rename them
    for candidate in (filename, f"{filename}.gz", dotted, f"{dotted}.gz"):
        if (source / candidate).is_file():
            return source / candidate
    raise TaskError(
        f"{source} holds no {filename} (nor {filename}.gz): give the folder with the four IDX "
        f"files of {name}, {', '.join(FILES.values())}."
    )


def _read_pinned(path: Path, sha256: str, *, name: str) -> NDArray[np.uint8]:
    content = unpacked(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise TaskError(
            f"{path.name} is not the canonical file of {name}: its content has SHA-256 {found}, "
            f"expected {sha256}. Get the file again, or write a task of your own for other data."
        )
    return parse_idx(content, where=path.name)


def _store(name: str, arrays: Mapping[str, NDArray[Any]], folder: Path) -> Path:
    """The archive first, the TOML last, each by rename: a task that is listed is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".importing-") as scratch:
        archive, toml = Path(scratch) / f"{name}.npz", Path(scratch) / f"{name}.toml"
        np.savez_compressed(archive, allow_pickle=False, **arrays)
        shutil.copyfile(HOUSE_DIRECTORY / toml.name, toml)
        archive.replace(folder / archive.name)
        return toml.replace(folder / toml.name)


def _download(
    name: str, filename: str, *, mirrors: Sequence[str], folder: Path, timeout: float
) -> None:
    complaints = []
    for mirror in mirrors:
        url = f"{mirror}/{filename}"
        try:
            (folder / filename).write_bytes(_get(url, timeout=timeout))
        except (OSError, urllib.error.URLError, http.client.HTTPException) as error:
            complaints.append(f"{url}: {error}")
        else:
            return
    raise TaskError(
        f"No mirror gave {filename} ({'; '.join(complaints)}). Without internet, copy the four "
        f"files here and run `arena tasks import {name} --from DIR`."
    )


def _get(url: str, *, timeout: float) -> bytes:
    """The body at ``url``, cut off at the cap; a wrong one is caught by its hash."""
    if not url.startswith(("https://", "http://")):
        raise TaskError(f"{url} is not a web address: a mirror starts with https://.")
    with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - checked above
        return bytes(answer.read(LARGEST_FILE_BYTES))
