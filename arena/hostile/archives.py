"""Archives that never become a player: what a stranger may upload to hurt the one who reads it.

Each is built here and handed to :meth:`arena.packages.Package.read`, which must refuse it with a
sentence, in little time and memory. A few are harmless as they stand and must be taken as they
are: what lies inside is nobody's business but the player's own jail.
"""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from arena.errors import PackageError
from arena.manifest import MAX_BYTES
from arena.packages import MAX_ARCHIVE_BYTES, MAX_FILES, MAX_UNPACKED_BYTES, Package

NUMBER: Final = 31
MIB: Final = 1024 * 1024
MOST_BYTES: Final = MAX_UNPACKED_BYTES + MAX_ARCHIVE_BYTES
"""What reading one archive may hold at a time: what came, and what it is allowed to hold."""

MANIFEST: Final = b"""schema_version = 1
name = "Mallory's"
role = "attack"
entry = "player.py:Attack"
"""
FILES: Final[Mapping[str, bytes]] = {
    "manifest.toml": MANIFEST,
    "player.py": b"class Attack: ...\n",
}

_CENTRAL: Final = b"PK\x01\x02"
_LOCAL: Final = b"PK\x03\x04"


@dataclass(frozen=True)
class Archive:
    """``build`` makes its bytes; ``refused``: whether it must be."""

    id: str
    name: str
    build: Callable[[], bytes]
    refused: bool = True

    def problems(self) -> list[str]:
        """What went wrong when it was read; empty: it was refused, or taken, as it should be."""
        archive = self.build()
        tracemalloc.start()
        try:
            return list(self._read(archive))
        finally:
            tracemalloc.stop()

    def _read(self, archive: bytes) -> Iterator[str]:
        try:
            Package.read(archive)
            if self.refused:
                yield "it was accepted"
        except PackageError as error:
            if not self.refused:
                yield f"it was refused: {error}"
            if not str(error).endswith(".") or len(str(error)) > 400:
                yield f"the sentence is none: {str(error)[:200]!r}"
            if not str(error).isprintable():
                yield f"the sentence holds what was in the archive: {str(error)[:200]!r}"
        except Exception as error:  # noqa: BLE001 (whatever else it raises is what is looked for)
            yield f"reading it raised {type(error).__name__}: {error}"[:200]
        peak = tracemalloc.get_traced_memory()[1]
        if peak > MOST_BYTES:
            yield f"reading it took {peak // MIB} MiB"


# --- building -----------------------------------------------------------------------------------


def zipped(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An ordinary zip of these files, whatever they are called."""
    return _packed([(name, content, 0) for name, content in files.items()], method)


def with_entry(
    name: str, content: bytes = b"x", *, mode: int = 0, method: int = zipfile.ZIP_STORED
) -> bytes:
    """A sound package with one more entry, of this Unix mode."""
    plain = [(known, data, 0) for known, data in FILES.items()]
    return _packed([*plain, (name, content, mode)], method)


def _packed(entries: list[tuple[str, bytes, int]], method: int) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore", UserWarning)  # a name twice
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.filename = name  # past ZipInfo's own tidying
            info.compress_type = method
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def _with_sizes(claimed: int) -> bytes:
    """Both headers of the last entry claim that size."""
    archive = bytearray(with_entry("weights.bin", bytes(range(200))))
    central, local = archive.rindex(_CENTRAL), archive.rindex(_LOCAL)
    archive[central + 24 : central + 28] = struct.pack("<I", claimed)
    archive[local + 22 : local + 26] = struct.pack("<I", claimed)
    return bytes(archive)


def _ten_gigabytes() -> bytes:
    """A zip64 field that claims 10 GB for an entry of 200 bytes."""
    archive = bytearray(_with_sizes(0xFFFF_FFFF))
    central, end = archive.rindex(_CENTRAL), archive.rindex(b"PK\x05\x06")
    extra = struct.pack("<HHQ", 1, 8, 10 * 10**9)
    (name_length,) = struct.unpack_from("<H", archive, central + 28)
    struct.pack_into("<H", archive, central + 30, len(extra))
    at = central + 46 + name_length
    archive[at:at] = extra
    end += len(extra)
    (size,) = struct.unpack_from("<I", archive, end + 12)
    struct.pack_into("<I", archive, end + 12, size + len(extra))
    return bytes(archive)


def _many_entries(count: int) -> bytes:
    """``count`` entries of no bytes, all of them the same local one."""
    local = struct.pack("<4s5H3I2H", _LOCAL, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    head = struct.pack("<4s6H3I5H2I", _CENTRAL, 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
    directory = (head + b"a") * count
    end = struct.pack(
        "<4s4H2IH", b"PK\x05\x06", 0, 0, count % 2**16, count % 2**16, len(directory), len(local), 0
    )
    return local + directory + end


def _raw_name(name: bytes, *, utf8: bool) -> bytes:
    """An entry whose name is these bytes, said to be UTF-8 or not."""
    stand_in = "n" * len(name)
    archive = bytearray(with_entry(stand_in).replace(stand_in.encode(), name))
    for head, flags in ((archive.rindex(_CENTRAL), 8), (archive.rindex(_LOCAL), 6)):
        struct.pack_into("<H", archive, head + flags, 0x800 if utf8 else 0)
    return bytes(archive)


def _encrypted() -> bytes:
    archive = bytearray(with_entry("weights.bin"))
    for head, flags in ((archive.rindex(_CENTRAL), 8), (archive.rindex(_LOCAL), 6)):
        struct.pack_into("<H", archive, head + flags, 1)
    return bytes(archive)


def _unknown_method() -> bytes:
    archive = bytearray(with_entry("weights.bin"))
    for head, method in ((archive.rindex(_CENTRAL), 10), (archive.rindex(_LOCAL), 8)):
        struct.pack_into("<H", archive, head + method, 99)
    return bytes(archive)


def _damaged() -> bytes:
    archive = bytearray(with_entry("weights.bin", bytes(range(256)) * 40))
    archive[archive.rindex(_LOCAL) + 200] ^= 0xFF
    return bytes(archive)


def _nested(depth: int) -> bytes:
    """A zip in a zip in a zip: nobody opens the inner ones."""
    inner = zipped({"zeros.bin": bytes(4 * MIB)})
    for _ in range(depth):
        inner = zipped({f"{n}.zip": inner for n in range(8)})
    return with_entry("weights.zip", inner)


def with_manifest(text: bytes) -> bytes:
    """A package with that manifest."""
    return zipped({**FILES, "manifest.toml": text})


def _more(line: bytes) -> bytes:
    return with_manifest(MANIFEST + line)


_LINKS: Final = {
    "symlink": (stat.S_IFLNK, "A symbolic link to /etc/passwd"),
    "character-device": (stat.S_IFCHR, "A character device"),
    "block-device": (stat.S_IFBLK, "A block device"),
    "fifo": (stat.S_IFIFO, "A named pipe"),
    "socket": (stat.S_IFSOCK, "A socket"),
}
_NAMES: Final = {
    "slip": ("../../evil.py", "A path out of the package"),
    "slip-inside": ("a/../../evil.py", "A path that goes in and out again"),
    "absolute": ("/etc/cron.d/evil", "An absolute path"),
    "backslash": ("..\\evil.py", "A path out of the package, as Windows writes it"),
    "drive": ("C:/evil.py", "A drive's path"),
    "hidden": (".git/config", "A hidden folder"),
    "device-name": ("NUL", "A device's name on Windows"),
    "device-name-with-suffix": ("com1.py", "A device's name with a suffix"),
    "html": ("<img src=x onerror=alert(1)>.py", "HTML as a file name"),
    "escape": ("\x1b]0;pwned\x07.py", "A terminal escape as a file name"),
    "newline": ("a\nb.py", "A line break in a file name"),
    "direction": ("weights\u202eyp.exe", "A file name that reads backwards"),
    "long": ("x" * 5000, "A file name of 5,000 letters"),
    "deep": ("/".join("abcdefgh" * 20) + ".py", "A hundred folders in one another"),
    "empty-part": ("a//b.py", "A folder without a name"),
    "dot": ("./player2.py", "A name with a dot as its folder"),
    "twice": ("player.py", "A name twice"),
    "twice-in-capitals": ("PLAYER.py", "A name twice but for its capitals"),
    "file-as-folder": ("player.py/inner.py", "A file that is also a folder"),
}
ARCHIVES: Final[tuple[Archive, ...]] = (
    *(
        Archive(
            key,
            name,
            partial(with_entry, "weights.npz", b"/etc/passwd", mode=mode | 0o666),
        )
        for key, (mode, name) in _LINKS.items()
    ),
    *(Archive(key, name, partial(with_entry, path)) for key, (path, name) in _NAMES.items()),
    Archive("empty", "No bytes at all", lambda: b""),
    Archive("truncated", "The first half of an archive", lambda: zipped(FILES)[:-60]),
    Archive("not-a-zip", "A tar, or anything else", lambda: b"ustar" * 2000),
    Archive("too-large", "A megabyte above the cap", lambda: bytes(MAX_ARCHIVE_BYTES + MIB)),
    Archive(
        "ratio-bomb",
        "Zeros that unpack to two hundred times their size",
        lambda: with_entry("zeros.bin", bytes(60 * MIB), method=zipfile.ZIP_DEFLATED),
    ),
    Archive(
        "lzma-bomb",
        "The same by a method that packs better",
        lambda: with_entry("zeros.bin", bytes(60 * MIB), method=zipfile.ZIP_LZMA),
    ),
    Archive(
        "count-bomb",
        "More files than a package may have",
        lambda: zipped({f"f{n}.py": b"" for n in range(MAX_FILES + 1)}),
    ),
    Archive("directory-bomb", "A million entries of no bytes", lambda: _many_entries(1_000_000)),
    Archive("nested-bomb", "A zip in a zip in a zip", lambda: _nested(3), refused=False),
    Archive("small-claim", "A size smaller than it is", lambda: _with_sizes(10)),
    Archive("large-claim", "A size larger than it is", lambda: _with_sizes(10 * MIB)),
    Archive("ten-gigabytes", "200 bytes that claim to be 10 GB", _ten_gigabytes),
    Archive("damaged", "A bit turned", _damaged),
    Archive("encrypted", "An entry with a password", _encrypted),
    Archive("unknown-method", "A method of compression that nobody knows", _unknown_method),
    Archive(
        "not-utf8", "A name that is not UTF-8", lambda: _raw_name(b"\xff\xfe\xfa.py", utf8=False)
    ),
    Archive(
        "lies-utf8",
        "A name that says it is UTF-8",
        lambda: _raw_name(b"\xff\xfe\xfa.py", utf8=True),
    ),
    Archive(
        "nul-in-name", "A zero byte in a name", lambda: _raw_name(b"player2.py\0.txt", utf8=True)
    ),
    Archive(
        "manifest-large", "A manifest of a megabyte", lambda: with_manifest(MANIFEST + b"#" * MIB)
    ),
    Archive(
        "manifest-not-utf8", "A manifest that is not UTF-8", lambda: _more(b'family = "\xff"\n')
    ),
    Archive(
        "manifest-deep-list",
        "A list in a list, eight thousand times",
        lambda: _more(b"needs = " + b"[" * 8000 + b"]" * 8000),
    ),
    Archive(
        "manifest-deep-table",
        "A table in a table, a thousand times",
        lambda: _more(b"needs = " + b"{a=" * 1000 + b"1" + b"}" * 1000),
    ),
    Archive(
        "manifest-deep-key",
        "A key of seven thousand parts",
        lambda: _more(b"a" + b".a" * 7000 + b" = 1\n"),
    ),
    Archive(
        "manifest-long-number",
        "A number of fifteen thousand digits",
        lambda: _more(b"needs = " + b"9" * 15_000 + b"\n"),
    ),
    Archive(
        "manifest-many-keys",
        "Three thousand keys",
        lambda: _more(
            b"".join(b"k%d=1\n" % n for n in range(3000))[: MAX_BYTES // 2].rpartition(b"\n")[0]
        ),
    ),
    Archive("manifest-escape", "A terminal escape in a name", lambda: _renamed(b"\\u001b[2J")),
    Archive("manifest-nul", "A zero byte in a name", lambda: _renamed(b"a\\u0000b")),
    Archive("manifest-direction", "A name that reads backwards", lambda: _renamed(b"a\\u202egnp")),
    Archive("manifest-separator", "A line separator in a name", lambda: _renamed(b"a\\u2028b")),
    Archive(
        "manifest-task-nul", "A zero byte in a task's name", lambda: _more(b'task = "a\\u0000"\n')
    ),
    Archive("manifest-task-html", "HTML as a task's name", lambda: _more(b'task = "<b>x</b>"\n')),
    Archive(
        "manifest-outside",
        "Weights that lie outside of the package",
        lambda: _more(b'weights = "../../etc/passwd"\n'),
    ),
    Archive(
        "manifest-pickle",
        "Weights as a pickle",
        lambda: zipped(
            {**FILES, "manifest.toml": MANIFEST + b'weights = "w.pt"\n', "w.pt": b"\x80"}
        ),
    ),
    Archive(
        "html-in-name",
        "HTML in a player's name",
        lambda: _renamed(b"<script>1</script>"),
        refused=False,
    ),
)


def _renamed(name: bytes) -> bytes:
    return with_manifest(MANIFEST.replace(b"Mallory's", name))
