"""A defense that is an ONNX file, without code of the player's own.

``weights`` is the whole graph; onnxruntime runs it on one thread. The first input is taken, and
the first output of two dimensions. A graph whose first dimension is fixed is fed in groups of that
many rows. Where the manifest also names an ``architecture`` (the same graph without its
initialisers), it is for grey-box rounds alone and is not read here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import PackageError
from arena.manifest import FILE_NAME, Manifest
from arena.players import Defense, Images, Scores, TaskInfo

_FATAL_ONLY: Final = 4
_DTYPES: Final = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class OnnxDefense(Defense):
    """Scores of an ONNX graph."""

    def __init__(self, package: Path, task: TaskInfo) -> None:
        self.manifest = Manifest.parse((package / FILE_NAME).read_bytes())
        super().__init__(package, task)

    def load(self) -> None:
        if not self.manifest.weights.endswith(".onnx"):
            raise PackageError('An ONNX defense needs weights = "model.onnx" in its manifest.')
        self._session = open_graph(self.package / self.manifest.weights)
        given = self._session.get_inputs()[0]
        if given.type not in _DTYPES:
            raise PackageError(f"Input {given.name!r} must be float32 or float64.")
        self._input = given.name
        self._dtype = _DTYPES[given.type]
        self._flat = len(given.shape) == 2
        self._fixed = given.shape[0] if given.shape and isinstance(given.shape[0], int) else None
        self._output = _scores_of(self._session)

    def predict(self, x: Images) -> Scores:
        rows = (x.reshape(len(x), -1) if self._flat else x).astype(self._dtype, copy=False)
        if self._fixed is None or len(x) == 0:
            return self._run(rows)
        return np.concatenate([self._group(rows[s : s + self._fixed]) for s in self._starts(rows)])

    def _starts(self, rows: NDArray[Any]) -> range:
        return range(0, len(rows), self._fixed or 1)

    def _group(self, rows: NDArray[Any]) -> Scores:
        """One group of the fixed size, filled up with zeros that are cut off again."""
        missing = (self._fixed or 1) - len(rows)
        filled = np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)])
        return self._run(filled)[: len(rows)]

    def _run(self, rows: NDArray[Any]) -> Scores:
        (scores,) = self._session.run([self._output], {self._input: rows})
        return np.asarray(scores, np.float32)


def open_graph(path: Path) -> Any:
    """An inference session on one thread that does not spin."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            path, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise PackageError(f"{path.name} is no graph that onnxruntime runs: {error}") from error


def _scores_of(session: Any) -> str:
    for output in session.get_outputs():
        if output.type in _DTYPES and len(output.shape) == 2:
            return str(output.name)
    raise PackageError("The graph has no output of floats (n, classes).")
