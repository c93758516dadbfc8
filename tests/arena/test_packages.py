"""Archives from strangers: what is taken, what is refused, and with which sentence."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from arena.errors import PackageError
from arena.packages import MAX_FILES, Package, checked_name, digest, unzip

MANIFEST = b"""
schema_version = 1
name = "One step"
role = "attack"
entry = "player.py:Attack"
"""
PLAYER = b"class Attack: ...\n"
FILES = {"manifest.toml": MANIFEST, "player.py": PLAYER}


def zipped(files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    return buffer.getvalue()


def special(name: str, mode: int, content: bytes = b"/etc/passwd") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file, data in FILES.items():
            archive.writestr(file, data)
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return buffer.getvalue()


def test_a_package_is_the_same_from_a_zip_and_from_a_directory(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "player.pyc").write_bytes(b"x")
    from_directory = Package.read(tmp_path)
    assert from_directory == Package.read(zipped(FILES))
    assert from_directory.sha256 == digest(FILES)


def test_the_zip_a_package_writes_is_deterministic_and_reads_back() -> None:
    package = Package.of(FILES)
    assert package.to_zip() == package.to_zip()
    assert Package.read(package.to_zip()) == package


def test_the_hash_does_not_hang_on_how_the_zip_was_made() -> None:
    stored = zipped(FILES, method=zipfile.ZIP_STORED)
    assert Package.read(stored).sha256 == Package.read(zipped(FILES)).sha256


def test_bytes_cannot_slide_from_one_file_into_the_next() -> None:
    assert digest({"a": b"xy", "b": b"z"}) != digest({"a": b"x", "b": b"yz"})
    assert digest({"ab": b"c"}) != digest({"a": b"bc"})


def test_a_folder_zipped_as_a_whole_is_unwrapped() -> None:
    wrapped = {f"my-attack/{name}": content for name, content in FILES.items()}
    assert Package.read(zipped(wrapped)).files == FILES


def test_what_macos_adds_to_a_zip_stays_out() -> None:
    added = {"__MACOSX/my-attack/._player.py": b"x", "my-attack/.DS_Store": b"y"}
    wrapped = {f"my-attack/{name}": content for name, content in FILES.items()}
    assert Package.read(zipped({**wrapped, **added})).files == FILES
    with pytest.raises(PackageError, match="not starting with a dot"):
        unzip(zipped({**FILES, ".DS_Store/player.py": b""}))


@pytest.mark.parametrize(
    "name",
    [
        "../player.py",
        "a/../../b.py",
        "/etc/passwd",
        "C:\\x.py",
        "a\\b.py",
        ".hidden",
        "a/.git/config",
        "nul",
        "COM1.txt",
        "a\x00b",
        "a\nb.py",
        "é.py",
        "<b>.py",
        "\x1b[2J.py",
        "",
        "a//b",
        "x" * 101,
        "a/b/c/d/e/f/g.py",
    ],
)
def test_names_that_are_not_plain_are_refused(name: str) -> None:
    with pytest.raises(PackageError):
        checked_name(name)


def test_a_zip_with_the_paths_of_windows_is_refused_with_a_way_to_pack_it() -> None:
    with pytest.raises(PackageError, match=r"has a backslash in its name: .* they write dir/file"):
        checked_name("my\\manifest.toml")


def test_a_path_out_of_the_package_is_refused() -> None:
    with pytest.raises(PackageError, match=r"plain relative|not allowed"):
        unzip(zipped({**FILES, "../evil.py": b""}))


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666, 0o140777])
def test_links_and_special_files_are_refused(mode: int) -> None:
    with pytest.raises(PackageError, match="link or a special file"):
        unzip(special("weights.npz", mode))


def test_a_name_twice_is_refused_in_any_case_of_letters() -> None:
    with pytest.raises(PackageError, match="twice"):
        unzip(zipped({**FILES, "Player.py": b""}))


def test_a_zip_bomb_is_stopped_by_its_ratio() -> None:
    bomb = zipped({**FILES, "zeros.npz": bytes(40 * 1024 * 1024)})
    assert len(bomb) < 100_000
    with pytest.raises(PackageError, match="times its own size"):
        unzip(bomb)


def test_too_many_files_are_refused() -> None:
    many = {f"f{i}.py": b"" for i in range(MAX_FILES + 1)}
    with pytest.raises(PackageError, match="more than"):
        unzip(zipped(many))


def test_a_lying_declared_size_is_refused() -> None:
    archive = bytearray(zipped(FILES, method=zipfile.ZIP_STORED))
    directory = archive.rindex(b"PK\x01\x02")
    archive[directory + 24 : directory + 28] = struct.pack("<I", 10 * 1024**3 % 2**32)
    with pytest.raises(PackageError):
        unzip(bytes(archive))


@pytest.mark.parametrize("cut", [0, 1, 10, 60, -1, -10])
def test_a_truncated_archive_is_refused_with_a_sentence(cut: int) -> None:
    with pytest.raises(PackageError, match=r"empty|zip|damaged"):
        unzip(zipped(FILES)[:cut])


def test_damaged_contents_are_refused() -> None:
    archive = bytearray(zipped({**FILES, "w.bin": bytes(range(256)) * 40}))
    archive[len(archive) // 3] ^= 0xFF
    try:
        files = unzip(bytes(archive))
    except PackageError:
        return
    assert files == {**FILES, "w.bin": bytes(range(256)) * 40}


def test_a_missing_manifest_and_missing_named_files_are_named() -> None:
    with pytest.raises(PackageError, match=r"no manifest\.toml"):
        Package.of({"player.py": PLAYER})
    with pytest.raises(PackageError, match=r"one in 'a'; pack that folder alone"):
        Package.of({f"{folder}/{name}": FILES[name] for name in FILES for folder in "ab"})
    with pytest.raises(PackageError, match=r"entry file .player\.py"):
        Package.of({"manifest.toml": MANIFEST})
    with pytest.raises(PackageError, match=r"weights = .w\.npz"):
        Package.of({**FILES, "manifest.toml": MANIFEST + b'weights = "w.npz"\n'})


def test_a_learner_is_code_without_weights() -> None:
    learner = MANIFEST.replace(b'"attack"', b'"learner"')
    with pytest.raises(PackageError, match="code without weights"):
        Package.of({"manifest.toml": learner, "player.py": PLAYER, "data.npz": bytes(300_000)})


def test_a_link_in_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_bytes(MANIFEST)
    (tmp_path / "player.py").symlink_to("/etc/passwd")
    with pytest.raises(PackageError, match="is a link"):
        Package.read(tmp_path)


def test_grey_box_rounds_get_the_architecture_and_nothing_else() -> None:
    manifest = b"""
schema_version = 1
name = "Net"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
"""
    files = {"manifest.toml": manifest, "architecture.py": b"#", "weights.safetensors": b"secret"}
    assert Package.of(files).architecture_only() == {"architecture.py": b"#"}
