"""YAML that two programs read differently, that hides a part, or that grows without end."""

import time

import pytest
import yaml

from harness.specs.yaml_source import DEEPEST, LARGEST, read_yaml
from tests.helpers.cli import invoke

SPEC = """\
name: demo
question: Is it so?
targets:
  organism: {layers: [0, 1, 2]}
prompts: data/voices.jsonl
split: {seed: 42}
ablations:
  - {name: top, select: {by: list, features: {2: [5]}}, kind: zero}
claims:
  - {name: matters, ablation: top, direction: toward-correct}
"""


def check(tmp_path, text):
    """What `check` says of a spec, without its excerpts."""
    path = tmp_path / "demo.yaml"
    path.write_text(text, encoding="utf-8")
    found = invoke("check", path)
    head = f"error: {path}:"
    lines = found.stderr.splitlines()
    faults = [line.removeprefix(head) for line in lines if line.startswith(head)]
    assert found.exit_code == (2 if faults else 0)
    return faults


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("[5]", "[0100]", ['8:51: YAML reads "0100" as 64; write 100 or 64']),
        ("[5]", "[1:20, 7]", ['8:51: YAML reads "1:20" as 80; write 80']),
        ("[5]", "[0o17]", ['8:51: 2: YAML reads "0o17" as a text; write 15']),
        ("[5]", "[08]", ['8:51: 2: YAML reads "08" as a text; write 8']),
        ("[5]", "[!!int '010']", ['8:51: YAML reads "010" as 8; write 10 or 8']),
        ("[0, 1, 2]", "[010]", ['4:23: YAML reads "010" as 8; write 10 or 8']),
        ("seed: 42", "seed: 042", ['6:9: YAML reads "042" as 34; write 42 or 34']),
        ("seed: 42", "seed: 0x2A", ['6:9: YAML reads "0x2A" as 42; write 42']),
        ("seed: 42", "discovery: 0_0.5", ['6:9: YAML reads "0_0.5" as 0.5; write 0.5']),
        ("kind: zero", "kind: scale, value: 1_0.5", ['8:70: YAML reads "1_0.5" as 10.5; write 10.5']),
        ("name: demo", "name: 010", ["1:1: name: YAML reads it as 8, a number; put it in quotes"]),
        ("{2: ", "{02: ", ['8:47: YAML reads the key "02" as 2; write 2']),
        ("{2: ", "{0o2: ", ["8:47: '0o2' is no layer; write a layer as a whole number: 12"]),
        ("{2: ", "{'1_0': ", ["8:47: '1_0' is no layer; write a layer as a whole number: 12"]),
        ("[5]", "[5], 02: [6]", ['8:55: YAML reads the key "02" as 2; write 2',
                                 "8:55: key '02' is given twice, first as '2' at 8:47; keep one"]),
        ("[5]", "[5], '2': [6]", ["8:55: key '2' is given twice, first at 8:47; keep one"]),
        ("[5]", "[5], 2.0: [6]", ["8:55: key '2.0' is given twice, first as '2' at 8:47; keep one"]),
        ("[0, 1, 2]}", "[0, 1, 2]}\n  organism: {}", ["5:3: key 'organism' is given twice, first at 4:3; keep one"]),
        ("{by:", "{<<: {top: 3}, by:", ["8:26: `<<` would merge another mapping into this one; write its keys out"]),
        ("[5]", "[!!bool 5]", ['8:51: not YAML: "5" cannot be read as bool; correct the line']),
    ],
)  # fmt: skip
def test_what_is_read_in_two_ways_is_refused_at_its_place(tmp_path, old, new, said):
    assert SPEC.count(old) == 1, "the test's own"
    assert check(tmp_path, SPEC.replace(old, new)) == said


@pytest.mark.parametrize(
    "old, new",
    [
        ("name: demo", "name: '010'"),
        ("question: Is it so?", "question: '0100'"),
        ("seed: 42", "seed: +42"),
        ("seed: 42", "discovery: .5"),
        ("seed: 42", "seed: &a 42"),
        ("kind: zero", "kind: scale, value: 1.5e+0"),
    ],
)
def test_what_is_read_in_one_way_is_taken(tmp_path, old, new):
    assert check(tmp_path, SPEC.replace(old, new)) == []


def test_aliases_are_bounded_by_what_they_stand_for(tmp_path):
    """Nine aliases of nine aliases, eight times over, are a quarter of a gigabyte in seven lines."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    ]
    begun = time.monotonic()
    (fault,) = check(tmp_path, "\n".join(lines))
    assert f"with its aliases written out it has over {LARGEST:,} characters" in fault
    assert time.monotonic() - begun < 10
    assert read_yaml("a: &a [x, y]\nb: [*a, *a]").data["b"] == (("x", "y"),) * 2


@pytest.mark.parametrize("text", ["[" * 500, "a: " * 5_000, "- " * 5_000 + "x", "&a [*a]"])
def test_what_is_nested_without_end_is_no_document(text):
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)


def test_a_level_too_deep_has_its_place():
    deep = "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        read_yaml(deep.replace("[]", "[x]"))
    assert caught.value.problem_mark.column == DEEPEST + 1
    assert read_yaml(deep.replace("[]", "x")).data


@pytest.mark.parametrize("size, said", [(500_001, "has more than 500,000 bytes"), (9, "not YAML")])
def test_a_file_that_is_no_spec_is_not_read_whole(tmp_path, size, said):
    (tmp_path / "large.yaml").write_bytes(b"}" * size)
    found = invoke("check", tmp_path / "large.yaml")
    assert found.exit_code == 2
    assert said in found.stderr
