"""A defense that is a scikit-learn estimator, without code of the player's own.

``architecture.toml`` names the estimator, ``weights`` fills it::

    class = "sklearn.neighbors.KNeighborsClassifier"

    [params]
    n_neighbors = 3

Weights are an ``.npz`` with ``x`` (n, ...) and ``y`` (n,), fitted when the player is loaded, or a
``.joblib`` file with the fitted estimator. The latter is a pickle: it is opened here, inside the
jail, and nowhere else.
"""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import PackageError
from arena.manifest import FILE_NAME, Manifest, Output
from arena.players import Defense, Images, Scores, TaskInfo

SMALLEST_PROBABILITY: Final = 1e-12


class SklearnDefense(Defense):
    """Scores of an estimator, in the columns of the task's classes."""

    def __init__(self, package: Path, task: TaskInfo) -> None:
        self.manifest = Manifest.parse((package / FILE_NAME).read_bytes())
        super().__init__(package, task)

    def load(self) -> None:
        weights = self.package / self.manifest.weights
        if not self.manifest.weights:
            raise PackageError("A scikit-learn defense needs weights = an .npz or .joblib file.")
        if weights.suffix == ".joblib":
            self.estimator = _deserialised(weights)
        elif weights.suffix == ".npz":
            self.estimator = _fitted(self._untrained(), weights)
        else:
            raise PackageError(f"{weights.name} must be .npz or .joblib for scikit-learn.")
        self._columns = np.asarray(self.estimator.classes_).astype(np.int64)

    def predict(self, x: Images) -> Scores:
        flat = x.reshape(len(x), -1)
        if self.manifest.output is Output.PROBABILITIES:
            return self._spread(self._probabilities(flat), absent=0.0)
        return self._spread(self._logits(flat), absent=float(np.log(SMALLEST_PROBABILITY)))

    def _untrained(self) -> Any:
        if not self.manifest.architecture:
            raise PackageError('Data to fit need architecture = "architecture.toml".')
        path = self.package / self.manifest.architecture
        try:
            table = tomllib.loads(path.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PackageError(f"{path.name} is not valid TOML: {error}") from error
        return untrained(table)

    def _probabilities(self, flat: NDArray[np.float32]) -> NDArray[Any]:
        if hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict_proba(flat))
        if hasattr(self.estimator, "decision_function"):
            scores = self._decision(flat)
            odds = np.exp(scores - scores.max(axis=1, keepdims=True))
            return np.asarray(odds / odds.sum(axis=1, keepdims=True))
        chosen = np.asarray(self.estimator.predict(flat))[:, None]
        return np.asarray(chosen == np.asarray(self.estimator.classes_)[None, :], np.float32)

    def _logits(self, flat: NDArray[np.float32]) -> NDArray[Any]:
        if hasattr(self.estimator, "decision_function"):
            return self._decision(flat)
        return np.asarray(np.log(np.maximum(self._probabilities(flat), SMALLEST_PROBABILITY)))

    def _decision(self, flat: NDArray[np.float32]) -> NDArray[Any]:
        """(n, classes): binary estimators give one column, the second class's."""
        scores = np.asarray(self.estimator.decision_function(flat))
        return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores

    def _spread(self, scores: NDArray[Any], *, absent: float) -> Scores:
        """Classes that the estimator never saw get ``absent``."""
        full = np.full((len(scores), len(self.task.classes)), absent, np.float32)
        full[:, self._columns] = scores
        return full


def untrained(table: dict[str, Any]) -> Any:
    """The estimator that a parsed ``architecture.toml`` describes; unfitted, seeded."""
    name = table.get("class")
    params = table.get("params", {})
    if not isinstance(name, str) or not name.startswith("sklearn.") or not isinstance(params, dict):
        raise PackageError('architecture.toml must say class = "sklearn.MODULE.Class".')
    module, _, attribute = name.rpartition(".")
    try:
        estimator = getattr(importlib.import_module(module), attribute)(**params)
    except (ImportError, AttributeError, TypeError) as error:
        raise PackageError(f"{name} with these params cannot be made: {error}") from error
    if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
        raise PackageError(f"{name} is no scikit-learn classifier.")
    if "random_state" in estimator.get_params() and "random_state" not in params:
        estimator.set_params(random_state=0)
    return estimator


def _fitted(estimator: Any, data: Path) -> Any:
    try:
        with np.load(data, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
    except (KeyError, ValueError, OSError) as error:
        raise PackageError(f"{data.name} must hold x (n, ...) and y (n,): {error}") from error
    return estimator.fit(x.reshape(len(x), -1), y.astype(np.int64))


def _deserialised(path: Path) -> Any:
    import joblib

    estimator = joblib.load(path)
    if not hasattr(estimator, "predict") or not hasattr(estimator, "classes_"):
        raise PackageError(f"{path.name} holds no fitted scikit-learn classifier.")
    return estimator
