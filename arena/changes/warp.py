"""Rotation and translation of a picture, with bilinear interpolation (numpy alone).

Engstrom, Tran, Tsipras, Schmidt & Madry 2019 (arXiv:1712.02779), section 2: the pixel at (u, v),
measured from the centre of the picture with v upwards, goes to

    [u']   [cos a  -sin a] [u]   [du]
    [v'] = [sin a   cos a] [v] + [dv]

Each pixel of the new picture is read back from where it came, between the four pixels around that
place; what lies outside the picture is 0, the background of handwritten digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
Places = NDArray[np.float64]
BORDER = 2
"""Pixels of 0 around a picture."""


def warped(x: NDArray[Any], moves: NDArray[Any]) -> Images:
    """(n, channels, height, width) each turned and shifted; a row of zeros changes nothing.

    ``moves`` (n, 3): degrees counter-clockwise about the centre, then pixels to the right and
    down. A row's picture hangs on that row alone.
    """
    angle = np.deg2rad(np.asarray(moves[:, 0], np.float64))[:, None, None]
    right, down = (np.asarray(moves[:, i], np.float64)[:, None, None] for i in (1, 2))
    height, width = x.shape[2:]
    v = np.arange(height)[:, None] - (height - 1) / 2 - down
    u = np.arange(width)[None, :] - (width - 1) / 2 - right
    cosine, sine = np.cos(angle), np.sin(angle)
    # Rows count downwards, so a turn against the clock takes (u, v) back by the converse matrix.
    rows = sine * u + cosine * v + (height - 1) / 2
    columns = cosine * u - sine * v + (width - 1) / 2
    return sampled(x, rows, columns)


def sampled(x: NDArray[Any], rows: Places, columns: Places) -> Images:
    """(n, channels, *places): each picture read at fractional places (n, *places), 0 outside."""
    n, channels, height, width = x.shape
    margin = ((0, 0), (0, 0), (BORDER, BORDER), (BORDER, BORDER))
    padded = np.pad(np.asarray(x, np.float64), margin).reshape(n * channels, -1)
    # All that lies farther outside reads the border, which is 0.
    top = np.clip(np.floor(rows), -BORDER, height)
    left = np.clip(np.floor(columns), -BORDER, width)
    low, side = (rows - top).reshape(n, -1), (columns - left).reshape(n, -1)
    line = width + 2 * BORDER
    corner = ((top + BORDER) * line + left + BORDER).astype(np.intp).reshape(n, -1)
    if channels > 1:
        low, side, corner = (np.repeat(part, channels, axis=0) for part in (low, side, corner))
    corner += np.arange(n * channels)[:, None] * padded.shape[1]
    read = padded.ravel()
    above = read[corner] * (1 - side) + read[corner + 1] * side
    below = read[corner + line] * (1 - side) + read[corner + line + 1] * side
    found = np.clip(above * (1 - low) + below * low, 0.0, 1.0)
    return np.asarray(found.reshape(n, channels, *rows.shape[1:]), np.float32)
