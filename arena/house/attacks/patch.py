"""An adversarial patch: any pixels within one rectangle, at the place that helps most.

With gradients: the place is where a linear model of the loss could rise most,

    argmax over rectangles R of sum over p in R of max(g_p (1 - x_p), -g_p x_p),  g = grad loss(x),

of what the task allows, and projected gradient descent fills it (Karmon, Zoran & Goldberg 2018,
arXiv:1801.02608); where it fails, the next best place. With probes or logits alone: random search
over places and blocks of pixels (Croce et al. 2022, arXiv:2006.12834). Blind: a random patch.

Option ``universal``: one patch for all examples, by expectation over places and examples (Brown et
al. 2017, arXiv:1712.09665, eq. 1): what could be printed and laid beside anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.worst_of import Answers
from arena.players import EvasionAttack, EvasionChallenge, NotDifferentiable, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "Patch"
role = "attack"
entry = "player.py:Patch"
family = "adversarial patch"
description = "Fills the rectangle that helps most, by gradients or random search (Karmon 2018)."

[needs]
norms = ["patch"]
games = ["evasion", "transfer", "minimum_norm"]
"""

Array = NDArray[np.float32]
Labels = NDArray[np.int64]
SHARES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""Sizes that are tried one after the other where the smallest patch is asked for."""
SEARCHES = 1000


@dataclass(frozen=True)
class Frame:
    """A rectangle's size within pictures (channels, height, width); vectors are one pixel high."""

    height: int
    width: int
    rows: int
    columns: int

    @classmethod
    def of(cls, shape: tuple[int, ...], share: float) -> Frame:
        """The squarest rectangle of at most that share."""
        height, width = shape[-2:] if len(shape) > 1 else (1, shape[-1])
        pixels = max(1, int(share * height * width + 1e-6))
        rows = min(height, int(pixels**0.5))
        return cls(height, width, rows, min(width, pixels // rows))

    def random_places(self, count: int, rng: np.random.Generator) -> Labels:
        """(count, 2) corners, top and left."""
        top = rng.integers(self.height - self.rows + 1, size=count)
        return np.stack([top, rng.integers(self.width - self.columns + 1, size=count)], axis=1)

    def masks(self, places: Labels, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """(m, *shape) where the patch lies, all channels alike."""
        down = np.arange(self.height)[None, :] - places[:, :1]
        right = np.arange(self.width)[None, :] - places[:, 1:]
        inside = ((down >= 0) & (down < self.rows))[:, :, None]
        inside = inside & ((right >= 0) & (right < self.columns))[:, None, :]
        if len(shape) == 3:
            inside = np.repeat(inside[:, None], shape[0], axis=1)
        return np.asarray(inside.reshape(len(places), *shape))

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m, height - rows + 1, width - columns + 1) over every place of the rectangle."""
        picture = values.reshape(len(values), -1, self.height, self.width).sum(axis=1)
        total = np.pad(picture.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
        r, c = self.rows, self.columns
        return np.asarray(
            total[:, r:, c:] - total[:, :-r, c:] - total[:, r:, :-c] + total[:, :-r, :-c]
        )


class Patch(EvasionAttack):
    """Options: ``steps`` of descent at each of ``places``; ``universal``."""

    def attack(self, challenge: EvasionChallenge) -> Array:
        self.challenge = challenge
        self.rng, self.answers = challenge.rng(), Answers.of(challenge)
        best, open_ = challenge.x.copy(), np.arange(len(challenge))
        shares = SHARES if challenge.epsilon is None else (challenge.epsilon,)
        for share in shares:
            frame = Frame.of(challenge.x.shape[1:], share)
            try:
                found, fell = self._filled(frame, open_)
            except QueryBudgetExceeded:
                break  # the defense's time is used up: what was found so far is handed in
            kept = fell if challenge.epsilon is None else np.ones(len(open_), bool)
            best[open_[kept]] = found[kept]
            open_ = open_[~fell]
            if not len(open_):
                break
            challenge.submit(best)
        return best

    def _filled(self, frame: Frame, rows: Labels) -> tuple[Array, NDArray[np.bool_]]:
        """Candidates for ``rows``, and which of them are known to succeed."""
        if self.answers.none:
            return self._random(frame, rows), np.zeros(len(rows), bool)
        labels = self._labels(rows)
        if self.answers.free:
            try:
                if self.options.get("universal", False):
                    return self._universal(frame, rows, labels)
                return self._descended(frame, rows, labels)
            except NotDifferentiable:
                pass
        return self._searched(frame, rows, labels)

    def _labels(self, rows: Labels) -> Labels:
        """(n,) what is to be left; found out where the round withholds it."""
        challenge = self.challenge
        if challenge.y is not None:
            return challenge.y
        asked = self.answers.may_ask(rows)
        labels = np.zeros(len(challenge), np.int64)
        labels[asked] = self.answers.labels(self.answers.to(challenge.x[asked], asked))
        return labels

    # ── by gradients ───────────────────────────────────────────────────────────────────────

    def _descended(
        self, frame: Frame, rows: Labels, labels: Labels
    ) -> tuple[Array, NDArray[np.bool_]]:
        clean = self.challenge.x[rows]
        best, worst = clean.copy(), np.full(len(rows), -np.inf)
        fallen = np.zeros(len(rows), bool)
        slope = self._slope(clean, rows, labels)
        rise = self.challenge.task.allowed(np.where(slope > 0, 1 - clean, -clean))
        gain = slope * rise
        score = frame.sums(gain.astype(np.float64))
        for _ in range(int(self.options.get("places", 5))):
            here = np.flatnonzero(~fallen)
            if not len(here):
                break
            flat = score[here].reshape(len(here), -1).argmax(axis=1)
            places = np.stack(np.unravel_index(flat, score.shape[1:]), axis=1)
            mask = frame.masks(places, clean.shape[1:])
            painted = np.where(mask, (slope[here] > 0).astype(np.float32), clean[here])
            start = self._allowed(painted, rows[here])
            found, loss, fell = self._steps(start, mask, rows[here], labels)
            better = here[loss > worst[here]]
            best[better], worst[better] = found[loss > worst[here]], loss[loss > worst[here]]
            fallen[here] |= fell
            _forget(score, here, places, frame)
        return best, fallen

    def _steps(
        self, x: Array, mask: NDArray[np.bool_], rows: Labels, labels: Labels
    ) -> tuple[Array, NDArray[np.float64], NDArray[np.bool_]]:
        """Signed steps that shrink; for each row the picture with the largest loss."""
        steps = int(self.options.get("steps", 30))
        best, worst, fallen = x.copy(), np.full(len(x), -np.inf), np.zeros(len(x), bool)
        for step in range(steps + 1):
            here = np.flatnonzero(~fallen)
            if not len(here):
                break
            scores = self.answers.to(x[here], rows[here])
            loss, fell = self.answers.judged(scores, labels, rows[here])
            better = here[loss > worst[here]]
            worst[better] = loss[loss > worst[here]]
            best[better] = x[better]
            fallen[here] |= fell
            here = here[~fell]
            if step == steps or not len(here):
                break
            slope = self._slope(x[here], rows[here], labels)
            moved = x[here] + np.float32(0.5 * (1 - step / steps)) * np.sign(slope) * mask[here]
            x[here] = self._allowed(moved, rows[here])
        return best, worst, fallen

    def _slope(self, x: Array, rows: Labels, labels: Labels) -> Array:
        """Of what the attack wants to rise."""
        challenge = self.challenge
        if challenge.targets is not None:
            return -challenge.defense.gradient(x, challenge.targets[rows])
        return challenge.defense.gradient(x, labels[rows])

    def _universal(
        self, frame: Frame, rows: Labels, labels: Labels
    ) -> tuple[Array, NDArray[np.bool_]]:
        """The same pixels for every example, each time laid at another place."""
        clean, channels = self.challenge.x[rows], _channels(self.challenge.x.shape[1:])
        patch = self.rng.random((channels, frame.rows, frame.columns)).astype(np.float32)
        steps = 4 * int(self.options.get("steps", 30))
        for step in range(steps):
            places = frame.random_places(len(rows), self.rng)
            slope = self._slope(_laid(clean, patch, places, frame), rows, labels)
            total = sum(_under(s, place, frame) for s, place in zip(slope, places, strict=True))
            patch = np.clip(patch + np.float32(0.2 * (1 - step / steps)) * np.sign(total), 0, 1)
        laid = _laid(clean, patch, frame.random_places(len(rows), self.rng), frame)
        laid = self._allowed(laid, rows)
        _, fell = self.answers.judged(self.answers.to(laid, rows), labels, rows)
        return laid, fell

    # ── by answers, or none ────────────────────────────────────────────────────────────────

    def _searched(
        self, frame: Frame, rows: Labels, labels: Labels
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Half the proposals move the patch, the others repaint a block of it black or white."""
        clean = self.challenge.x[rows]
        best, worst = clean.copy(), np.full(len(rows), -np.inf)
        fallen, where = np.zeros(len(rows), bool), frame.random_places(len(rows), self.rng)
        inside = self.rng.integers(2, size=clean.shape).astype(np.float32)
        for _ in range(int(self.options.get("searches", SEARCHES))):
            standing = np.flatnonzero(~fallen)
            asked = self.answers.may_ask(rows[standing])
            here = standing[np.isin(rows[standing], asked)]
            if not len(here):
                break
            places, paint = where[here].copy(), inside[here].copy()
            moves = self.rng.random(len(here)) < 0.5
            places[moves] = frame.random_places(int(moves.sum()), self.rng)
            self._repaint(paint, np.flatnonzero(~moves), places, frame)
            mask = frame.masks(places, clean.shape[1:])
            tried = self._allowed(np.where(mask, paint, clean[here]), rows[here])
            loss, fell = self.answers.judged(self.answers.to(tried, rows[here]), labels, rows[here])
            better = loss >= worst[here]
            kept = here[better]
            best[kept], worst[kept] = tried[better], loss[better]
            where[kept], inside[kept] = places[better], paint[better]
            fallen[here] |= fell
        return best, fallen

    def _repaint(self, paint: Array, which: Labels, places: Labels, frame: Frame) -> None:
        """A block within the patch, a quarter of its sides or more, gets one shade."""
        pictures = paint.reshape(len(paint), -1, frame.height, frame.width)
        for row in which:
            tall, wide = (
                self.rng.integers(1, max(2, side)) for side in (frame.rows, frame.columns)
            )
            top = places[row, 0] + self.rng.integers(frame.rows - tall + 1)
            left = places[row, 1] + self.rng.integers(frame.columns - wide + 1)
            pictures[row, :, top : top + tall, left : left + wide] = self.rng.integers(2)

    def _random(self, frame: Frame, rows: Labels) -> Array:
        clean = self.challenge.x[rows]
        mask = frame.masks(frame.random_places(len(rows), self.rng), clean.shape[1:])
        painted = np.where(mask, self.rng.integers(2, size=clean.shape), clean)
        return self._allowed(painted.astype(np.float32), rows)

    def _allowed(self, x: Array, rows: Labels) -> Array:
        """``x`` without what the task forbids to do to those examples."""
        clean = self.challenge.x[rows]
        return np.clip(clean + self.challenge.task.allowed(x - clean), 0, 1).astype(np.float32)


def _forget(score: NDArray[np.float64], rows: Labels, places: Labels, frame: Frame) -> None:
    """Places that overlap by half are not tried again."""
    for row, (top, left) in zip(rows, places, strict=True):
        down, right = (frame.rows + 1) // 2, (frame.columns + 1) // 2
        near = score[
            row, max(0, top - down + 1) : top + down, max(0, left - right + 1) : left + right
        ]
        near[:] = -np.inf


def _channels(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) == 3 else 1


def _laid(x: Array, patch: Array, places: Labels, frame: Frame) -> Array:
    pictures = x.reshape(len(x), -1, frame.height, frame.width).copy()
    for picture, (top, left) in zip(pictures, places, strict=True):
        picture[:, top : top + frame.rows, left : left + frame.columns] = patch
    return pictures.reshape(x.shape)


def _under(slope: Array, place: Labels, frame: Frame) -> Array:
    """The part of a gradient that lies under the patch."""
    picture, (top, left) = slope.reshape(-1, frame.height, frame.width), place
    return picture[:, top : top + frame.rows, left : left + frame.columns]
