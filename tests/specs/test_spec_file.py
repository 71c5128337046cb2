"""Specs with faults: all found at once, each at its place."""

import math
from pathlib import Path

import pytest
import yaml

from harness.errors import InputError
from harness.specs.claims import A_CLAIM_IS
from harness.specs.spec_file import load
from tests.helpers.specs import BEHAVIOUR_SPEC


def spec_faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "demo.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(path)
    return [str(fault).removeprefix(f"{path}:") for fault in caught.value.faults]


def test_a_right_spec_loads_with_its_defaults(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text(BEHAVIOUR_SPEC)
    spec = load(path).spec
    assert spec.contrast.statistic == "pratt+mcnemar"
    assert spec.targets["organism"].layers == (0, 1)
    assert spec.split.discovery == 0.5


def test_the_hash_is_of_the_content_not_of_the_writing(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text(BEHAVIOUR_SPEC)
    first = load(path).spec
    path.write_text("# a comment\nmetric: logit_difference\n" + BEHAVIOUR_SPEC)
    assert load(path).spec.hash == first.hash
    path.write_text(BEHAVIOUR_SPEC.replace("greater", "less"))
    assert load(path).spec.hash != first.hash


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("question:", "qestion:", ["2:1: unknown key 'qestion'; did you mean 'question'?",
                                   "1:1: 'question' is missing; add it"]),
        ("greater", "up", ["7:48: direction is 'up'; use one of greater, less"]),
        ("organism:", "organsim:", ["4:3: unknown target 'organsim'; did you mean 'organism'?"]),
        ("[0, 1]", "[0, x]", ["4:26: layers: input should be a valid integer; it is \"x\""]),
        ("behaviour: logit", "behavior: logit", [f"7:5: {A_CLAIM_IS}; did you mean 'behaviour'?"]),
        ("direction: greater", "within: -1", ["7:48: within: input should be greater than 0; it is -1"]),
        ("claims:", "contrast: {alpha: 1e-1}\nclaims:", ['6:12: alpha: YAML reads "1e-1" as a text; write 0.1']),
        ("claims:", "contrast: {alpha: '0.01'}\nclaims:", ['6:12: alpha: YAML reads "0.01" as a text; write 0.01']),
        ("[0, 1]", "[0, '1']", ['4:26: layers: YAML reads "1" as a text; write 1']),
        ("greater", "greater, than: 1e30", ['7:68: than: YAML reads "1e30" as a text; write 1.0e+30']),
        ("name: demo", "name: 2024-01-01", ['1:1: name: YAML reads it as "2024-01-01", a date; put it in quotes']),
        ("name: demo", "name: 12", ["1:1: name: YAML reads it as 12, a number; put it in quotes"]),
        ("name: demo", "name: yes", ["1:1: name: YAML reads it as true; put it in quotes"]),
        (", direction: greater", "", ["7:5: the claim has no direction, or one and a margin; give direction "
                                      "or within"]),
        ("name: demo", "name: demo\nname: again", ["2:1: key 'name' is given twice, first at 1:1; keep one"]),
        ("layers: [0, 1]", "layers: [0, 1", ["4:27: not YAML: expected ',' or ']', but got '}'; correct the line"]),
    ],
)  # fmt: skip
def test_faults_of_a_spec_are_named_with_place_and_remedy(tmp_path, old, new, expected):
    assert sorted(spec_faults(tmp_path, BEHAVIOUR_SPEC.replace(old, new))) == sorted(expected)


def test_several_faults_come_at_once_in_their_order(tmp_path):
    text = (
        BEHAVIOUR_SPEC.replace("question", "qestion")
        .replace("greater", "up")
        .replace("[0, 1]", "x")
    )
    places = [fault.split(": ")[0] for fault in spec_faults(tmp_path, text)]
    assert len(places) == 4
    assert places == sorted(places, key=lambda place: tuple(map(int, place.split(":"))))


ABLATION = """\
readout: {at: AT}
ablations:
  - {name: top, select: {by: BY}, positions: WHERE}
"""


@pytest.mark.parametrize(
    "at, by, positions, refused",
    [
        ("answer", "contrast", "all", "fire after its first token is decided"),
        ("answer", "attribution", "prompt", None),
        ("last_prompt_token", "contrast", "all", None),
        ("last_prompt_token", "contrast", "[-1, 2]", None),
        ("last_prompt_token", "list, features: {1: [3]}", "prompt", None),
    ],
)
def test_an_ablation_that_is_zero_by_construction_is_refused(tmp_path, at, by, positions, refused):
    extra = ABLATION.replace("AT", at).replace("BY", by).replace("WHERE", positions)
    text = BEHAVIOUR_SPEC + extra
    if refused is None:
        (tmp_path / "demo.yaml").write_text(text)
        assert load(tmp_path / "demo.yaml").spec.ablations
    else:
        (fault,) = spec_faults(tmp_path, text)
        assert refused in fault
        assert fault.startswith("10:")


@pytest.mark.parametrize(
    "ablation, expected",
    [
        ("select: {by: contrast}, kind: scale", "scale needs a value; give `value`"),
        ("select: {by: contrast}, value: 2", "zero takes no value; drop it, or use clamp, scale, steer"),
        ("select: {by: contrast}, kind: scale, value: 1", "scale 1 changes nothing"),
        ("select: {by: contrast}, kind: steer, value: 0", "steer 0 changes nothing"),
        ("select: {by: contrast}, kind: resample", "resample needs a source; give `source: pair` or"),
        ("select: {by: contrast}, source: pair", "zero takes no source; drop it"),
        ("select: {by: contrast}, kind: zap", "kind is 'zap'; use one of"),
        ("select: {by: list}", "no feature is listed; give `by: list` and"),
        ("select: {by: contrast, features: {1: [2]}}", "features are listed but not used"),
        ("select: {by: list, features: {1: [-2]}}", "a feature is below 0"),
        ("select: {by: list, features: {1: []}}", "is empty"),
        ("select: {by: contrast}, positions: [0]", "position 0 is BOS, which is never edited"),
        ("select: {by: contrast}, positions: [99999999999999999999]", "positions"),
        ("select: {by: contrast}, positions: []", "positions is empty"),
        ("select: {by: contrast}, positions: everywhere", "positions is 'everywhere'"),
        ("select: {by: contrast}, doses: [1]", "a factor of 1 changes nothing"),
        ("select: {by: contrast}, only: [elsewhere]", "'elsewhere' is not among the targets"),
    ],
)  # fmt: skip
def test_an_ablation_whose_parts_do_not_belong_together_is_refused(tmp_path, ablation, expected):
    text = BEHAVIOUR_SPEC + f"ablations:\n  - {{name: top, {ablation}}}\n"
    faults = spec_faults(tmp_path, text)
    assert any(expected in fault for fault in faults), faults
    assert all(fault.startswith("9:") for fault in faults)


TWO = BEHAVIOUR_SPEC.replace("organism:", "gemma-2-2b: {layers: [0, 1]}\n  organism:")


def test_listed_features_belong_to_one_target(tmp_path):
    listed = "ablations:\n  - {name: top, select: {by: list, features: {1: [2]}}MORE}\n"
    claim = "  - {name: moves, ablation: top, direction: toward-correct}\n"
    (fault,) = spec_faults(tmp_path, TWO + listed.replace("MORE", ""))
    assert "the same numbers name other features on another target" in fault
    only = TWO + claim + listed.replace("MORE", ", only: [organism]")
    (fault,) = spec_faults(tmp_path, only)
    assert "'top' is not made on gemma-2-2b; give the claim the ablation's `only`" in fault
    (tmp_path / "demo.yaml").write_text(
        only.replace("toward-correct}", "toward-correct, only: [organism]}")
    )
    spec = load(tmp_path / "demo.yaml").spec
    assert not spec.ablations_on("gemma-2-2b")
    assert spec.ablations_on("organism")[0].select.features == {1: (2,)}


def test_recursive_yaml_is_a_fault(tmp_path):
    assert "not YAML" in spec_faults(tmp_path, "name: &a [*a]\n")[0]


@pytest.mark.parametrize("value", ["1e-1", "1e30", "-2e3", "1E-9", "3e5", "1e400", "nan", "-1.5e7"])
def test_what_is_advised_for_a_number_is_read_as_that_number(tmp_path, value):
    (fault,) = spec_faults(tmp_path, BEHAVIOUR_SPEC.replace("greater", f"greater, than: {value}"))
    if not math.isfinite(float(value)):
        assert "should be a valid number" in fault
    else:
        advised = yaml.safe_load(fault.rpartition("; write ")[2])
        assert isinstance(advised, float)
        assert advised == float(value)
