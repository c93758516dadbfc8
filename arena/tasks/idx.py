"""Reads IDX, the format in which MNIST and its relatives are published.

Two zero bytes, a type code, the number of dimensions, each dimension as a big-endian 32-bit
integer, then the values in row-major order (LeCun, "The MNIST database", file formats).
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import TaskError

GZIP_MAGIC: Final = b"\x1f\x8b"
UNSIGNED_BYTE: Final = 0x08
LARGEST_DIMENSIONS: Final = 4
LARGEST_FILE_BYTES: Final = 256 * 2**20  # unpacked; MNIST's largest file has 47 MB


def unpacked(path: Path) -> bytes:
    """The bytes of ``path``, gunzipped where they are gzip; never more than the cap."""
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == GZIP_MAGIC
            plain.seek(0)
            stream = gzip.GzipFile(fileobj=plain) if packed else plain
            content = stream.read(LARGEST_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"{path.name} cannot be read ({error}): get the file again.") from error
    if len(content) > LARGEST_FILE_BYTES:
        raise TaskError(
            f"{path.name} holds more than {LARGEST_FILE_BYTES // 2**20} MiB, which no file of this "
            "kind does: get the file again."
        )
    return content


def parse_idx(content: bytes, *, where: str) -> NDArray[np.uint8]:
    """The array in ``content``: unsigned bytes with at least one dimension, nothing after it."""
    dimensions = _header(content, where=where)
    start = 4 + 4 * len(dimensions)
    size = math.prod(dimensions)
    if len(content) - start != size:
        raise TaskError(
            f"{where} announces {size} values of shape {dimensions} but holds "
            f"{len(content) - start}: the file is cut off or padded, get it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(dimensions)


def _header(content: bytes, *, where: str) -> tuple[int, ...]:
    if len(content) < 4 or content[:2] != b"\0\0":
        raise TaskError(f"{where} does not start as an IDX file does: is it the right file?")
    if content[2] != UNSIGNED_BYTE:
        raise TaskError(
            f"{where} holds values of type 0x{content[2]:02x}; only unsigned bytes (0x08) are "
            "read: convert it to .npz and write a task of your own."
        )
    count = content[3]
    if not 1 <= count <= LARGEST_DIMENSIONS or len(content) < 4 + 4 * count:
        raise TaskError(f"{where} announces {count} dimensions: the header is damaged.")
    return tuple(int(n) for n in np.frombuffer(content, dtype=">u4", count=count, offset=4))
