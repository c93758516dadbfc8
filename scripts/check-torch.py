"""Checks that torch is still the version the arena is calibrated with and brought no CUDA along.

Some packages of this field (torchvision is the usual one) quietly replace torch by a newer build
with five gigabytes of CUDA. Needs no import of torch: the metadata tells.
usage: python scripts/check-torch.py [--quiet]
"""

import re
import sys
from importlib import metadata
from pathlib import Path

VERSION = "2.13.0"


def complaint() -> str | None:
    try:
        torch = metadata.distribution("torch")
    except metadata.PackageNotFoundError:
        return "torch is not installed."
    if torch.version.split("+")[0] != VERSION:
        return f"torch is {torch.version}, the arena needs {VERSION}."
    if not is_cpu_build(torch):
        return None
    strays = sorted(name for name in installed_names() if name.startswith("nvidia-"))
    if strays:
        return f"torch is a CPU build, yet CUDA packages came in: {', '.join(strays)}."
    return None


def is_cpu_build(torch: metadata.Distribution) -> bool:
    """The build writes `cuda: Optional[str] = None` or `= '13.0'` into torch/version.py."""
    text = Path(str(torch.locate_file("torch/version.py"))).read_text()
    return re.search(r"^cuda\b.*=\s*None", text, re.MULTILINE) is not None


def installed_names() -> set[str]:
    return {(dist.metadata["Name"] or "").lower() for dist in metadata.distributions()}


if __name__ == "__main__":
    problem = complaint()
    if problem and "--quiet" not in sys.argv[1:]:
        print(f"{problem} Remove .venv and run `make install`.", file=sys.stderr)
    sys.exit(problem is not None)
