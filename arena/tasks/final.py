"""Final splits derived from the practice split with a secret.

Images are rotated, scaled, shifted and bent a little, each on its own; other data is jittered
inside its own precision, and where a task has words that are there or not, a few are lost. The
changes are small enough that a reference model keeps its accuracy
(tests hold it within two points; clothes, which fill the frame, allow no more), and large enough
that an image is not found again by its bytes (the nearest practice image is usually about 0.4 away
in L∞). A defense that looks up the nearest practice image can still do so: an organizer with fresh
data should give a final split of their own.

Rows come in a secret order. Images are rounded to the data's own precision, so that the last bits
in which two machines' mathematics libraries differ do not show in the hash.

``FINAL_VERSION`` goes into the seed: raise it with any change that would move a derived split.
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.tasks.seeds import frozen_stream
from arena.tasks.split import Split, TaskWarning

FINAL_VERSION: Final = 1

ROTATION_DEGREES: Final = 2.5
SCALE: Final = 0.02  # of one
SHIFT: Final = 0.0075  # of the image's side
BEND: Final = 0.005  # root mean square, of the image's side
BEND_SMOOTHNESS: Final = 0.15  # standard deviation of the smoothing kernel, of the image's side
SMALLEST_IMAGE: Final = 4  # pixels a side; below it nothing can be bent

JITTER_CAP: Final = 0.005
WORDS_LOST: Final = 0.05  # of those that are there
DISCRETE_BELOW: Final = 16  # a feature with fewer distinct values is a code, not a measurement

IMAGES_AT_ONCE: Final = 500  # bounds memory to about 100 MiB at 28x28

FloatArray = NDArray[np.float64]


def derive_final(
    practice: Split,
    *,
    secret: bytes,
    is_image: bool,
    levels: int,
    on_grid: bool = False,
    mutable: NDArray[np.bool_] | None = None,
    words: NDArray[np.bool_] | None = None,
) -> Split:
    """The final split that ``secret`` makes of ``practice``, as many examples, in another order.

    ``levels``: distinct values to which images are rounded. ``on_grid``: other data must keep to
    its levels, and so stays. ``mutable``: (*shape), the features that may change; None: all.
    ``words``: (*shape), features that are there (1) or not (0), of which some are lost.
    """
    stream = frozen_stream(
        b"adversarium final", bytes([FINAL_VERSION]), practice.sha256.encode(), secret
    )
    shuffled = practice.take(stream.permutation(len(practice)))
    original = shuffled.x.astype(np.float64)
    if is_image and min(original.shape[2:]) >= SMALLEST_IMAGE:
        changed = _to_levels(_change_images(original, stream), levels=levels)
    else:
        changed = original if on_grid else _jitter(original, stream)
    if words is not None:
        lost = words & (stream.uniform(size=original.shape) < WORDS_LOST)
        changed = np.where(lost, 0.0, changed)
    if mutable is not None:
        changed = np.where(mutable, changed, original)
    if np.array_equal(changed, original):
        _warn_of_mere_reordering()
    return Split("final", changed.astype(np.float32), shuffled.y)


def derive_final_values(practice: Split, *, secret: bytes) -> Split:
    """The final split of a regression task: the same points in another order, their values
    jittered inside their own precision, so that every series keeps its trend."""
    stream = frozen_stream(
        b"adversarium final", bytes([FINAL_VERSION]), practice.sha256.encode(), secret
    )
    shuffled = practice.take(stream.permutation(len(practice)))
    return Split("final", shuffled.x, _jitter(shuffled.y[:, None], stream)[:, 0])


def _to_levels(x: FloatArray, *, levels: int) -> FloatArray:
    return np.asarray(np.rint(x * (levels - 1)) / (levels - 1))


def _warn_of_mere_reordering() -> None:
    warnings.warn(
        "The derived final split is the practice split in another order, since no feature has "
        "room for a change: add x_final and y_final to the task's data file.",
        TaskWarning,
        stacklevel=4,
    )


# Images


def _change_images(x: FloatArray, stream: np.random.RandomState) -> FloatArray:
    """``x``: (n, channels, height, width); every image gets a small change of its own."""
    from scipy.ndimage import map_coordinates

    changed = np.empty_like(x)
    for start in range(0, len(x), IMAGES_AT_ONCE):
        images = x[start : start + IMAGES_AT_ONCE]
        sources = _source_points(len(images), images.shape[2], images.shape[3], stream)
        for row, (image, points) in enumerate(zip(images, sources, strict=True), start=start):
            for channel, plane in enumerate(image):
                # A cubic spline hardly blurs; the edge's own value fills what moves in.
                map_coordinates(
                    plane, points, output=changed[row, channel], order=3, mode="nearest"
                )
    return np.clip(changed, 0.0, 1.0)


def _source_points(n: int, height: int, width: int, stream: np.random.RandomState) -> FloatArray:
    """(n, 2, height, width): where in the old image each pixel of the new one comes from."""
    size = np.array([height, width], dtype=np.float64).reshape(1, 2, 1, 1)
    centre = (size - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"))[None] - centre
    turned = np.einsum("nij,jhw->nihw", _affine(n, stream), grid[0])
    shift = stream.uniform(-SHIFT, SHIFT, size=(n, 2, 1, 1)) * size
    return np.asarray(centre + turned + shift + _bend(n, height, width, stream) * size)


def _affine(n: int, stream: np.random.RandomState) -> FloatArray:
    """(n, 2, 2): a rotation times a scale of each axis."""
    angle = np.deg2rad(stream.uniform(-ROTATION_DEGREES, ROTATION_DEGREES, size=n))
    scale = stream.uniform(1 - SCALE, 1 + SCALE, size=(n, 1, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)
    return np.asarray(rotation * scale)


def _bend(n: int, height: int, width: int, stream: np.random.RandomState) -> FloatArray:
    """(n, 2, height, width): smooth random displacements of ``BEND`` root mean square.

    Elastic deformation after Simard, Steinkraus & Platt 2003, section 2.
    """
    from scipy.ndimage import gaussian_filter

    noise = stream.uniform(-1, 1, size=(n, 2, height, width))
    smooth = gaussian_filter(noise, sigma=(0, 0, BEND_SMOOTHNESS * height, BEND_SMOOTHNESS * width))
    smooth -= smooth.mean(axis=(2, 3), keepdims=True)  # the mean is a shift, drawn apart
    return np.asarray(BEND * smooth / np.sqrt(np.mean(smooth**2, axis=(1, 2, 3), keepdims=True)))


# Other data


def _jitter(x: FloatArray, stream: np.random.RandomState) -> FloatArray:
    """``x``: (n, *shape); uniform noise of half the usual gap between a feature's values, or less.

    Values of exactly 0 and 1 stay (they often mean "absent" and "cut off"), and features with few
    distinct values stay (they are codes).
    """
    flat = x.reshape(len(x), -1)
    widths = np.fromiter((_precision(column) for column in flat.T), np.float64, flat.shape[1])
    moved = np.clip(flat + stream.uniform(-1, 1, size=flat.shape) * widths, 0.0, 1.0)
    return np.where((flat <= 0.0) | (flat >= 1.0), flat, moved).reshape(x.shape)


def _precision(values: FloatArray) -> float:
    """Half the median gap between neighbouring distinct values, at most ``JITTER_CAP``."""
    distinct = np.unique(values)
    if len(distinct) < DISCRETE_BELOW:
        return 0.0
    return min(float(np.median(np.diff(distinct))) / 2, JITTER_CAP)
