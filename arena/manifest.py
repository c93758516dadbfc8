"""The manifest of a submission: ``manifest.toml`` at the top of the package.

    schema_version = 1
    name = "Adversarially trained CNN"
    role = "defense"                      # defense | attack | learner | poisoner | thief
    framework = "torch"                   # numpy | torch | sklearn | onnx
    task = "mnist5k"                      # or tasks = ["mnist5k", "fashion5k"]; attacks may say "*"
    architecture = "architecture.py"      # torch: build() -> torch.nn.Module; sklearn: TOML; onnx
    weights = "weights.safetensors"
    entry = "player.py:Defense"           # optional for defenses without code of their own
    differentiable = true
    stochastic = false

    [needs]                               # attacks only: what the attack cannot play without
    gradients = true

Parsed by trusted code; everything it names stays inside the package.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final, Self

from arena.errors import PackageError

SCHEMA_VERSION: Final = 1
FILE_NAME: Final = "manifest.toml"
MAX_BYTES: Final = 16 * 1024
MAX_NAME: Final = 80
MAX_TEXT: Final = 2000
MAX_NESTING: Final = 4
MAX_SHOWN: Final = 5
"""Keys that a message names."""


class Role(StrEnum):
    """What a player is. Learners enter a tournament as defenses; poisoners, thieves as attacks."""

    DEFENSE = "defense"
    ATTACK = "attack"
    LEARNER = "learner"
    POISONER = "poisoner"
    THIEF = "thief"

    @property
    def side(self) -> str:
        """``defense`` or ``attack``: the role of the entry."""
        return "defense" if self in (Role.DEFENSE, Role.LEARNER) else "attack"


class Framework(StrEnum):
    """What is loaded into the jail before the player: players without torch do not import it."""

    NUMPY = "numpy"
    TORCH = "torch"
    SKLEARN = "sklearn"
    ONNX = "onnx"


class Output(StrEnum):
    """What a defense's ``predict`` returns per class."""

    LOGITS = "logits"
    PROBABILITIES = "probabilities"


@dataclass(frozen=True, slots=True)
class Needs:
    """What an attack cannot play without. An unmet need makes the cell not applicable.

    ``output``: the least oracle output (``label`` ... ``logits``), asked only with ``probes``.
    ``norms``, ``goals`` and ``games``: those it plays; empty means all, but for ``patch``,
    ``spatial`` and ``corruption`` in place of a norm, which are played where they are named.
    ``nearest``: it looks for the smallest perturbation, so that a round with several epsilons asks
    it once, without one, and reads each off its candidates.
    """

    gradients: bool = False
    probes: bool = False
    output: str = "label"
    architecture: bool = False
    related: bool = False
    training_data: bool = False
    true_label: bool = False
    nearest: bool = False
    norms: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()
    games: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked manifest. ``parse`` and ``from_mapping`` refuse what they do not know.

    ``certifies``: the norms in which ``certify`` claims radii. ``alpha``: the chance that a claim
    is wrong, as declared; 0 where claims are certain.
    """

    name: str
    role: Role
    framework: Framework = Framework.NUMPY
    tasks: tuple[str, ...] = ("*",)
    entry: str = ""
    architecture: str = ""
    weights: str = ""
    output: Output = Output.LOGITS
    differentiable: bool = False
    stochastic: bool = False
    abstains: bool = False
    certifies: tuple[str, ...] = ()
    alpha: float = 0.0
    family: str = ""
    description: str = ""
    needs: Needs = field(default_factory=Needs)

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read ``manifest.toml``.

        Raises:
            PackageError: too large, not UTF-8, not TOML, nested too deep, an unknown key, a
                wrong type, or a rule of the format broken. The message names the remedy.
        """
        if len(text) > MAX_BYTES:
            raise PackageError(f"{FILE_NAME} is larger than {MAX_BYTES // 1024} KiB; shorten it.")
        try:
            data = tomllib.loads(text.decode("utf-8-sig"))  # editors on Windows begin with a mark
        except UnicodeDecodeError as error:
            raise PackageError(f"{FILE_NAME} is not UTF-8; save it as UTF-8.") from error
        except tomllib.TOMLDecodeError as error:
            raise PackageError(f"{FILE_NAME} is not valid TOML: {error}.") from error
        except (RecursionError, ValueError) as error:  # ValueError: a number of 5,000 digits
            message = f"{FILE_NAME} is nested too deep or holds a number that is too long."
            raise PackageError(message) from error
        return cls.from_mapping(data)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        if _depth(data) > MAX_NESTING:
            raise PackageError(f"{FILE_NAME} is nested too deep; it has one table, [needs].")
        if data.get("schema_version") != SCHEMA_VERSION:
            raise PackageError(f"{FILE_NAME} must say schema_version = {SCHEMA_VERSION}.")
        known = {*_TEXTS, *_FLAGS, *_CHOICES, *_OTHERS}
        unknown = sorted(set(data) - known)
        if unknown:
            raise PackageError(
                f"{FILE_NAME} has unknown keys: {_listed(unknown)}.{_meant(unknown, known)}"
            )
        values: dict[str, Any] = {key: _text(data, key) for key in _TEXTS if key in data}
        values |= {key: _flag(data, key) for key in _FLAGS if key in data}
        values |= {key: _choice(data, key, _CHOICES[key]) for key in _CHOICES if key in data}
        values |= _claims(data)
        for required in ("name", "role"):
            if required not in values:
                raise PackageError(f'{FILE_NAME} must say {required} = "...".')
        manifest = cls(**values, tasks=_tasks(data), needs=_needs(data.get("needs", {})))
        for problem in _problems(manifest):
            raise PackageError(problem)
        return manifest

    def to_json(self) -> dict[str, Any]:
        """The mapping that :meth:`from_mapping` reads, as stored with a submission."""
        data: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "tasks": list(self.tasks)}
        data |= {key: getattr(self, key) for key in (*_TEXTS, *_FLAGS)}
        data |= {key: getattr(self, key).value for key in _CHOICES}
        if self.certifies:
            data |= {"certifies": list(self.certifies), "alpha": self.alpha}
        data["needs"] = {
            key: list(value) if isinstance(value, tuple) else value
            for key in Needs.__dataclass_fields__
            for value in [getattr(self.needs, key)]
        }
        return data

    def plays_task(self, task: str) -> bool:
        return "*" in self.tasks or task in self.tasks


_TEXTS: Final = ("name", "entry", "architecture", "weights", "family", "description")
_FLAGS: Final = ("differentiable", "stochastic", "abstains")
_OTHERS: Final = ("schema_version", "task", "tasks", "needs", "certifies", "alpha")
_CHOICES: Final[dict[str, type[StrEnum]]] = {
    "role": Role,
    "framework": Framework,
    "output": Output,
}
_HARMLESS: Final = ("\n", "\t", "\u200c", "\u200d")
_WORD: Final = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
_ENTRY: Final = re.compile(r"[A-Za-z_][\w/]*\.py:[A-Za-z_]\w*")
_NEED_FLAGS: Final = (
    "gradients",
    "probes",
    "architecture",
    "related",
    "training_data",
    "true_label",
    "nearest",
)
_NORMS: Final = ("linf", "l2", "l1", "l0", "patch")
"""What has a size: a defense may certify it."""
MAX_ALPHA: Final = 0.05
_NEED_LISTS: Final = {
    "norms": (*_NORMS, "spatial", "corruption"),
    "goals": ("untargeted", "targeted"),
    "games": (
        "evasion",
        "minimum_norm",
        "transfer",
        "poisoning",
        "extraction",
        "certification",
        "backdoor",
        "targeted_poisoning",
        "online_poisoning",
        "replay",
        "attacker_first",
        "trend_poisoning",
        "good_words",
    ),
}
_OUTPUTS: Final = ("label", "top_k", "rounded", "probabilities", "logits")


def _shown(value: object) -> str:
    return repr(value)[:60]


def _listed(keys: list[str]) -> str:
    more = [f"and {len(keys) - MAX_SHOWN} more"] if len(keys) > MAX_SHOWN else []
    return ", ".join([*map(_shown, keys[:MAX_SHOWN]), *more])


def _meant(unknown: Sequence[str], known: Iterable[str]) -> str:
    """The known key that the first unknown one is closest to, as a question."""
    close = difflib.get_close_matches(unknown[0][:MAX_NAME], list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _depth(value: object) -> int:
    deepest, layer = 0, [value]
    while layer and deepest <= MAX_NESTING:
        deepest += 1
        layer = [child for item in layer for child in _children(item)]
    return deepest


def _children(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [v for v in value.values() if isinstance(v, Mapping | list)]
    if isinstance(value, list):
        return [v for v in value if isinstance(v, Mapping | list)]
    return []


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data[key]
    limit = MAX_TEXT if key == "description" else MAX_NAME
    if not isinstance(value, str):
        raise PackageError(f"{key} in {FILE_NAME} must be text in quotes.")
    value = value.strip()
    if len(value) > limit:
        raise PackageError(f"{key} in {FILE_NAME} is longer than {limit} characters.")
    if any(_is_invisible(c) for c in value):
        raise PackageError(
            f"{key} in {FILE_NAME} holds control characters, or invisible ones; remove them."
        )
    return value


def _is_invisible(character: str) -> bool:
    """What could steer a terminal, turn a line around or break it; joiners belong to scripts."""
    if character in _HARMLESS:
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _flag(data: Mapping[str, Any], key: str) -> bool:
    if not isinstance(data[key], bool):
        raise PackageError(f"{key} in {FILE_NAME} must be true or false.")
    return bool(data[key])


def _choice(data: Mapping[str, Any], key: str, kind: type[StrEnum]) -> StrEnum:
    try:
        return kind(data[key])
    except ValueError as error:
        known = ", ".join(member.value for member in kind)
        message = f"{key} in {FILE_NAME} is {_shown(data[key])}; it must be one of {known}."
        raise PackageError(message) from error


def _claims(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a defense that certifies says of its claims."""
    values: dict[str, Any] = {}
    if "certifies" in data:
        values["certifies"] = _words(data["certifies"], "certifies", _NORMS)
    if "alpha" in data:
        alpha = data["alpha"]
        number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
        if not number or not 0 <= alpha <= MAX_ALPHA:
            raise PackageError(
                f"alpha in {FILE_NAME} is {_shown(alpha)}; it must lie between 0 (certain claims) "
                f"and {MAX_ALPHA}."
            )
        values["alpha"] = float(alpha)
    return values


def _tasks(data: Mapping[str, Any]) -> tuple[str, ...]:
    if "task" in data and "tasks" in data:
        raise PackageError(f"{FILE_NAME} says both task and tasks; keep one.")
    value = data.get("tasks", data.get("task", ["*"]))
    return _words([value] if isinstance(value, str) else value, "tasks", None)


def _words(value: Any, key: str, known: tuple[str, ...] | None) -> tuple[str, ...]:
    words = isinstance(value, list) and all(isinstance(v, str) for v in value)
    if not words or not all(_WORD.fullmatch(v) for v in value):
        raise PackageError(
            f"{key} in {FILE_NAME} must be a list of short words: letters, digits, '_', '-', '.'."
        )
    for word in value:
        if known is not None and word not in known:
            raise PackageError(
                f"{key} in {FILE_NAME} holds {_shown(word)}; known are {', '.join(known)}."
            )
    if len(value) > 20:
        raise PackageError(f"{key} in {FILE_NAME} lists more than 20 words.")
    return tuple(value)


def _needs(data: Any) -> Needs:
    if not isinstance(data, Mapping):
        raise PackageError(f"needs in {FILE_NAME} must be a table: write [needs].")
    unknown = sorted(set(data) - set(Needs.__dataclass_fields__))
    if unknown:
        meant = _meant(unknown, Needs.__dataclass_fields__)
        raise PackageError(f"[needs] has unknown keys: {_listed(unknown)}.{meant}")
    values: dict[str, Any] = {key: _flag(data, key) for key in _NEED_FLAGS if key in data}
    for key, known in _NEED_LISTS.items():
        if key in data:
            values[key] = _words(data[key], key, known)
    if "output" in data:
        values["output"] = _words([data["output"]], "output", _OUTPUTS)[0]
    return Needs(**values)


def _problems(m: Manifest) -> list[str]:
    return [message for broken, message in _rules(m) if broken]


def _rules(m: Manifest) -> list[tuple[bool, str]]:
    defends = m.role is Role.DEFENSE
    return [
        (not m.name, f"{FILE_NAME} must give the player a name."),
        ("\n" in m.name or "\t" in m.name, "name must be one line."),
        (
            bool(m.entry) and not _ENTRY.fullmatch(m.entry),
            'entry must look like "player.py:ClassName".',
        ),
        (not m.entry and not defends, 'This role needs entry = "player.py:ClassName".'),
        (
            defends and not m.entry and m.framework is Framework.NUMPY,
            'A numpy defense needs entry = "player.py:ClassName".',
        ),
        (
            defends and m.framework is Framework.TORCH and not m.entry and not m.architecture,
            'A torch defense without entry needs architecture = "architecture.py".',
        ),
        (
            any(not _inside(p) for p in (m.architecture, m.weights) if p),
            "architecture and weights must be relative paths inside the package.",
        ),
        (
            m.differentiable and m.framework is not Framework.TORCH,
            "Only torch defenses can be differentiable = true.",
        ),
        (
            m.weights.endswith((".pt", ".pth", ".pkl", ".pickle", ".ckpt")),
            (
                "Weights must be .safetensors (arena init --from MODEL.pt converts them), .npz or "
                ".onnx."
            ),
        ),
        (not defends and m.abstains, "Only a defense can abstain."),
        (not defends and bool(m.certifies), "Only a defense can certify."),
        (
            bool(m.certifies) and not m.entry,
            'A defense that certifies needs entry = "player.py:ClassName", with certify().',
        ),
        (m.alpha > 0 and not m.certifies, "alpha goes with certifies: name the norms."),
    ]


def _inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and "\\" not in path
