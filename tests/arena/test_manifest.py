"""The manifest: small, typed, and refused with a remedy when it breaks a rule."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.errors import PackageError
from arena.manifest import MAX_BYTES, Framework, Manifest, Role

DEFENSE = """
schema_version = 1
name = "Net"
role = "defense"
framework = "torch"
task = "mnist5k"
architecture = "architecture.py"
weights = "weights.safetensors"
differentiable = true
"""


def parse(text: str) -> Manifest:
    return Manifest.parse(text.encode())


def test_a_torch_defense_needs_no_code_of_its_own() -> None:
    manifest = parse(DEFENSE)
    assert manifest.role is Role.DEFENSE
    assert manifest.framework is Framework.TORCH
    assert manifest.plays_task("mnist5k")
    assert not manifest.plays_task("digits")


def test_a_manifest_survives_its_own_json() -> None:
    manifest = parse(DEFENSE)
    assert Manifest.from_mapping(manifest.to_json()) == manifest


def test_an_attack_without_a_task_plays_them_all() -> None:
    attack = parse(
        'schema_version = 1\nname = "A"\nrole = "attack"\nentry = "player.py:A"\n'
        '[needs]\ngradients = true\nnorms = ["linf", "l2"]\n'
    )
    assert attack.plays_task("anything")
    assert attack.needs.gradients
    assert attack.needs.norms == ("linf", "l2")


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (("schema_version = 1", "schema_version = 7"), "schema_version = 1"),
        (('name = "Net"', ""), "must say name"),
        (('name = "Net"', 'name = ""'), "give the player a name"),
        (('name = "Net"', "name = 3"), "text in quotes"),
        (('name = "Net"', f'name = "{"x" * 81}"'), "longer than 80"),
        (('name = "Net"', 'name = "a\\u001b[2Jb"'), "control characters"),
        (('role = "defense"', 'role = "judge"'), "must be one of"),
        (('role = "defense"', 'role = "attack"'), "needs entry"),
        (('framework = "torch"', 'framework = "jax"'), "must be one of"),
        (('framework = "torch"', 'framework = "numpy"'), "numpy defense needs entry"),
        (("differentiable = true", 'differentiable = "yes"'), "true or false"),
        (("differentiable = true", "colour = 1"), r"unknown keys: 'colour'\.$"),
        (("weights = ", "weight = "), "'weight'. Did you mean 'weights'"),
        (("weights.safetensors", "../weights.safetensors"), "inside the package"),
        (("weights.safetensors", "weights.pt"), "safetensors"),
        (('task = "mnist5k"', 'task = "a"\ntasks = ["b"]'), "keep one"),
        (("differentiable = true", "[needs]\nspeed = 1"), "unknown keys"),
        (("differentiable = true", "[needs]\nprobe = true"), "Did you mean 'probes'"),
        (("differentiable = true", '[needs]\nnorms = ["l7"]'), "known are"),
        (("differentiable = true", "needs = 3"), r"\[needs\]"),
        (('role = "defense"', 'role = "defense"\nentry = "../x.py:A"'), "entry must look like"),
    ],
)
def test_a_rule_broken_is_named_with_its_remedy(change: tuple[str, str], remedy: str) -> None:
    assert change[0] in DEFENSE
    with pytest.raises(PackageError, match=remedy):
        parse(DEFENSE.replace(*change))


def test_a_byte_order_mark_before_the_manifest_is_no_fault() -> None:
    marked = DEFENSE.encode("utf-8-sig")
    assert Manifest.parse(marked) == parse(DEFENSE)
    assert Manifest.parse(marked.replace(b"\n", b"\r\n")) == parse(DEFENSE)


def test_manifest_bombs_are_refused() -> None:
    with pytest.raises(PackageError, match="larger than"):
        Manifest.parse(b"#" * (MAX_BYTES + 1))
    with pytest.raises(PackageError):
        parse(DEFENSE + "needs = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(PackageError, match="nested too deep"):
        parse(DEFENSE + "[needs.a.b.c.d.e]\nx = 1\n")
    with pytest.raises(PackageError, match="UTF-8"):
        Manifest.parse(b"\xff\xfe")


@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_manifest_or_a_package_error(text: bytes) -> None:
    with contextlib.suppress(PackageError):
        Manifest.parse(text)


@given(st.text(max_size=60))
def test_any_value_of_a_text_ends_in_a_manifest_or_a_package_error(text: str) -> None:
    with contextlib.suppress(PackageError):
        Manifest.from_mapping({"schema_version": 1, "name": text, "role": text, "entry": text})
