"""What a jail sees of this machine: an interpreter, the guests' libraries, the jail's own code.

Everything is an allow list. The site-packages of the host are never shown: the jail gets one
directory ``/site`` with the top-level names of :data:`GUEST_DISTRIBUTIONS`, and the few modules
of ``arena`` that run inside as one zip file, so that no other module of the platform, no house
weights and no task data are anywhere below ``/``.

Paths inside are the same on every machine, whatever the host's interpreter is called::

    /python       the interpreter and its standard library (no site-packages, no tests)
    /site         the guests' libraries
    /arena-lib.zip  the jail's own code (:data:`JAIL_FILES`)
    /sub, /tmp    private, size-capped, gone with the jail
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import marshal
import re
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import arena
from arena.errors import SandboxUnavailable

GUEST_DISTRIBUTIONS: Final = (
    "numpy",
    "scipy",
    "torch",
    "scikit-learn",
    "onnxruntime",
    "safetensors",
    # What these six need.
    "cloudpickle",
    "filelock",
    "flatbuffers",
    "fsspec",
    "jinja2",
    "joblib",
    "markupsafe",
    "mpmath",
    "narwhals",
    "networkx",
    "packaging",
    "protobuf",
    "sympy",
    "threadpoolctl",
    "typing-extensions",
)
"""What guests may import, documented in docs/writing-a-submission.md."""
REFEREE_DISTRIBUTIONS: Final = ("numpy", "scipy", "pyarrow", "scikit-learn")
"""What the jailed referee imports, and where the task ``digits`` lies."""
_REQUIRED: Final = ("numpy",)
_ACCELERATOR: Final = re.compile(r"(nvidia-|cuda-).+|triton")
"""What a CUDA build of torch loads at import."""

JAIL_FILES: Final = (
    "__init__.py",
    "changes/*.py",
    "errors.py",
    "manifest.py",
    "players/*.py",
    "ranges.py",
    "torch_layout.py",
    "torch_players.py",
    "wire/*.py",
    "sandbox/child.py",
    "sandbox/guest_*.py",
    "sandbox/landlock.py",
    "sandbox/seccomp.py",
)
"""The modules of ``arena`` that exist in a jail; a test holds this to what the child imports."""

PYTHON: Final = "/python/bin/python3"
SITE: Final = "/site"
ARENA_LIB: Final = "/arena-lib.zip"
SUBMISSION: Final = "/sub"
ENGINE: Final = "/engine"
"""Where the jailed referee finds the whole of ``arena``."""
USER_DATA: Final = "/data"
"""Where it finds the tasks of this installation."""

HIDDEN_IN_SITE: Final = (
    "sklearn/datasets/data",
    "sklearn/datasets/descr",
    "sklearn/datasets/images",
    "onnxruntime/datasets",
)
"""Bundled data sets: scikit-learn's digits are a task here, its final split a secret."""
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Bind:
    """``source`` of the host shown read-only at ``target`` of the jail."""

    source: Path
    target: str


@dataclass(frozen=True, slots=True)
class View:
    """``binds`` in mounting order, then ``hidden`` directories, empty and read-only in the jail."""

    binds: tuple[Bind, ...]
    hidden: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    """(target, link) symbolic links."""
    library_path: str
    """LD_LIBRARY_PATH, or "" where the interpreter finds its own library."""


@cache
def host_view() -> View:
    """The view of this process's interpreter. Computed once.

    Raises:
        SandboxUnavailable: numpy is not installed for this interpreter.
    """
    binds = [*_system_libraries(), *_interpreter(), *_site_packages(_for_guests())]
    shown = {bind.target for bind in binds}
    hidden = [
        *(d for bind in binds for d in _packages_below(bind)),
        *(f"{SITE}/{name}" for name in HIDDEN_IN_SITE if _is_shown(name, shown)),
    ]
    return View(
        binds=tuple(binds),
        hidden=tuple(hidden),
        links=tuple(_system_links()),
        library_path=_library_path(),
    )


@cache
def referee_view(tasks: Path | None) -> View:
    """What a jailed referee sees: the engine with its tasks, numpy, and no framework.

    ``tasks``: the directory of this installation's own tasks.

    Raises:
        SandboxUnavailable: numpy is not installed for this interpreter.
    """
    binds = [*_system_libraries(), *_interpreter(), *_site_packages(REFEREE_DISTRIBUTIONS)]
    binds.append(Bind(Path(arena.__file__).parent, f"{ENGINE}/arena"))
    if tasks is not None:
        binds.append(Bind(tasks, f"{USER_DATA}/tasks"))
    return View(
        binds=tuple(binds),
        hidden=tuple(d for bind in binds for d in _packages_below(bind)),
        links=tuple(_system_links()),
        library_path=_library_path(),
    )


def _library_path() -> str:
    return "/python/lib" if sysconfig.get_config_var("Py_ENABLE_SHARED") else ""


def _is_shown(name: str, shown: set[str]) -> bool:
    top = f"{SITE}/{name.split('/', 1)[0]}"
    return top in shown and (site_packages_of(name) is not None)


def site_packages_of(name: str) -> Path | None:
    """The host's path of ``name`` (relative to site-packages), None where it is not installed."""
    paths = (Path(entry) / name for entry in _site_directories())
    return next((path for path in paths if path.exists()), None)


@cache
def _site_directories() -> tuple[str, ...]:
    """The host's directories of installed packages."""
    names = ("site-packages", "dist-packages")
    return tuple(entry for entry in sys.path if Path(entry).name in names)


# --- the system ---------------------------------------------------------------------------------


def _system_libraries() -> list[Bind]:
    """The directories of shared libraries: no programs, and nothing else that lies in /usr/lib."""
    libraries = [*Path("/usr/lib").glob("*-linux-*"), Path("/usr/lib64"), Path("/usr/lib")]
    libraries += [*Path("/lib").glob("*-linux-*"), Path("/lib64"), Path("/lib")]
    paths = [path for path in libraries if _holds_loader(path)]
    paths += [Path("/nix/store"), Path("/gnu/store"), Path("/etc/ld.so.cache")]
    paths += [Path("/etc/alternatives"), Path("/proc/cpuinfo")]
    shown = [path for path in paths if path.exists() and not _passes_link(path)]
    return [Bind(path, str(path)) for path in shown]


def _holds_loader(directory: Path) -> bool:
    return any(any(directory.glob(name)) for name in ("libc.so.6", "ld-linux*.so*", "ld-musl-*"))


def _passes_link(path: Path) -> bool:
    return any(step.is_symlink() for step in (path, *path.parents))


def _system_links() -> list[tuple[str, str]]:
    """On a merged-/usr system /lib and /lib64 are links."""
    links = ("/lib", "/lib64", "/usr/lib64", "/usr/lib32")
    return [(str(Path(p).readlink()), p) for p in links if Path(p).is_symlink()]


def _packages_below(bind: Bind) -> list[str]:
    """Libraries of other interpreters, and those of ours that are not for guests."""
    if not bind.target.startswith(("/usr/", "/python/")) or not bind.source.is_dir():
        return []
    inside = "" if (bind.source / "os.py").exists() else "python3*/"
    return sorted(
        f"{bind.target}/{found.relative_to(bind.source)}"
        for kind in ("site-packages", "dist-packages", "test")
        for found in bind.source.glob(f"{inside}{kind}")
        if found.is_dir() and not found.is_symlink()
    )


# --- the interpreter ----------------------------------------------------------------------------


def _interpreter() -> list[Bind]:
    """The base interpreter (never the venv's, which is only a link) under a neutral name.

    With all of its lib directory where it has one of its own: conda's is full of libraries.
    """
    base = Path(sys.base_prefix)
    stdlib = Path(sysconfig.get_paths(vars={"installed_base": str(base)})["stdlib"])
    library = stdlib.relative_to(base)
    if base in (Path("/usr"), Path("/usr/local")):  # shared with much that is not Python's
        shared = (base / library.parts[0]).glob("libpython*.so*")
        shown = [stdlib, *(path for path in shared if base == Path("/usr/local"))]
    else:
        shown = [base / library.parts[0]]
    return [
        Bind(executable(), PYTHON),
        *(Bind(path.resolve(), f"/python/{path.relative_to(base)}") for path in shown),
    ]


def executable() -> Path:
    """The base interpreter's real file."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


def interpreter_arguments(lib: str = ARENA_LIB, site: str = SITE) -> list[str]:
    """What follows the interpreter on its command line, up to the module's name and socket.

    No ``site``: no .pth file of the host is obeyed. The environment is ours, so ``-E`` would
    only take away PYTHONHASHSEED.
    """
    loader = (
        f"import sys;sys.path[:]=[{lib!r},*sys.path,{site!r}];"
        "from arena.sandbox.guest_start import start;"
        "start(sys.argv[1],int(sys.argv[2]),sys.argv[3:])"
    )
    return ["-P", "-s", "-S", "-B", "-u", "-c", loader]


_ALLOCATOR: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For glibc; thresholds in bytes. By itself it hands a layer's activations back to the kernel after
every step, and a fresh process pays for each page again: a tenth of the time of a short attack. The
last asks for huge pages where /sys can be read; behind walls there is none, and a zygote sees to it
(:mod:`arena.sandbox.guest_pages`)."""


def environment(threads: int, home: str = "/tmp") -> dict[str, str]:  # noqa: S108 - the jail's
    """All that a jailed process finds in its environment."""
    count = str(threads)
    return {
        "HOME": home,
        "TMPDIR": home,
        "USER": "player",
        "LOGNAME": "player",
        "LANG": "C.UTF-8",
        "PATH": "/nonexistent",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "JOBLIB_MULTIPROCESSING": "0",
        "ORT_DISABLE_TELEMETRY": "1",  # its database is a mapping that forks would share
        **_ALLOCATOR,
    }


# --- the guests' libraries ----------------------------------------------------------------------


def guest_distributions() -> dict[str, str]:
    """Name and version of every distribution that guests may import here."""
    found: dict[str, str] = {}
    for name in _for_guests():
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _for_guests() -> tuple[str, ...]:
    return (*GUEST_DISTRIBUTIONS, *_accelerator_distributions())


def _accelerator_distributions() -> list[str]:
    """What torch asks for, and what that asks for: a toolkit is one name for a dozen libraries."""
    found: set[str] = set()
    asked = {"torch"}
    while asked:
        needed = {need for name in asked for need in _needs(name) if _ACCELERATOR.fullmatch(need)}
        asked = needed - found
        found |= needed
    return sorted(found)


def _needs(distribution: str) -> set[str]:
    """The names of its requirements, whatever extra or platform they are for."""
    try:
        needs = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    return {re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0].lower() for need in needs}


def _site_packages(distributions: Iterable[str]) -> list[Bind]:
    binds: dict[str, Bind] = {}
    for name in distributions:
        for bind in _distribution(name):
            binds[bind.target] = bind
    return list(binds.values())


def _distribution(name: str) -> list[Bind]:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        if name in _REQUIRED:
            message = f"{name} is not installed for {sys.executable}: pip install {name}."
            raise SandboxUnavailable(message) from None
        return []
    root = Path(str(distribution.locate_file("")))
    names = _top_level(distribution)
    found = [(root / top).resolve() for top in names]
    return [
        Bind(path, f"{SITE}/{top}") for top, path in zip(names, found, strict=True) if path.exists()
    ]


_RECORD_LINE: Final = re.compile(r'^"?([^/,"\n]+)(?:/([^/,"\n]+))?', re.MULTILINE)
"""The first two parts of a path in RECORD; torch lists fifteen thousand."""


def _top_level(distribution: importlib.metadata.Distribution) -> list[str]:
    """Names to show of one distribution: packages and modules.

    A directory without ``__init__.py`` may be shared with distributions that are not for guests
    (``google``, ``nvidia``): of it, only the second level is shown.
    """
    heads = set(_RECORD_LINE.findall(distribution.read_text("RECORD") or ""))
    if not heads:
        declared = (distribution.read_text("top_level.txt") or "").split()
        heads = {(top, "__init__.py") for top in declared}
    packages = {top for top, second in heads if second == "__init__.py"}
    return sorted(
        {
            top if top in packages or not second or top.endswith(".libs") else f"{top}/{second}"
            for top, second in heads
            if _is_for_guests(top)
        }
    )


def _is_for_guests(top: str) -> bool:
    """Scripts lie outside; nothing that guests import asks for metadata."""
    return top not in ("..", "__pycache__") and not top.endswith(".dist-info")


# --- the jail's own code ------------------------------------------------------------------------


@cache
def arena_lib() -> bytes:
    """The zip of :data:`JAIL_FILES`, sources with their compiled code.

    ``arena/sandbox/__init__.py`` is empty in it: the real one chooses backends.
    """
    root = Path(arena.__file__).parent
    files = sorted({path for pattern in JAIL_FILES for path in root.glob(pattern)})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as lib:
        _add(lib, "arena/sandbox/__init__.py", b"")
        for path in files:
            _add(lib, f"arena/{path.relative_to(root)}", path.read_bytes())
    return archive.getvalue()


def _add(lib: zipfile.ZipFile, name: str, source: bytes) -> None:
    lib.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), source)
    code = compile(source, f"{ARENA_LIB}/{name}", "exec", dont_inherit=True)
    # An unchecked hash-based pyc (PEP 552): no source is read when the module is imported.
    header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
    header += importlib.util.source_hash(source)
    lib.writestr(zipfile.ZipInfo(f"{name}c", _ZIP_EPOCH), header + marshal.dumps(code))
