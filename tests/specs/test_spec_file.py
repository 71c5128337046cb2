"""Specs and prompt files with faults: all found at once, each at its place."""

import json
import math
from pathlib import Path

import pytest
import yaml

from harness.errors import InputError
from harness.specs.prompt_file import load_prompts
from harness.specs.spec_file import load

SPEC = """\
name: demo
question: Is it so?
targets:
  organism: {layers: [0, 1]}
prompts: prompts.jsonl
claims:
  - {name: moved, behaviour: logit_difference, direction: greater}
"""


def spec_faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "demo.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(path)
    return [str(fault).removeprefix(f"{path}:") for fault in caught.value.faults]


def prompt_faults(tmp_path: Path, content: list[dict] | bytes, **options) -> list[str]:
    path = tmp_path / "prompts.jsonl"
    if isinstance(content, list):
        content = "".join(json.dumps(line) + "\n" for line in content).encode()
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_prompts(path, **{"balanced": True, **options})
    return [str(fault).removeprefix(f"{path}:") for fault in caught.value.faults]


def test_a_right_spec_loads_with_its_defaults(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text(SPEC)
    spec = load(path).spec
    assert spec.contrast.statistic == "pratt+mcnemar"
    assert spec.targets["organism"].layers == (0, 1)
    assert spec.split.discovery == 0.5


def test_the_hash_is_of_the_content_not_of_the_writing(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text(SPEC)
    first = load(path).spec
    path.write_text("# a comment\nmetric: logit_difference\n" + SPEC)
    assert load(path).spec.hash == first.hash
    path.write_text(SPEC.replace("greater", "less"))
    assert load(path).spec.hash != first.hash


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("question:", "qestion:", ["2:1: unknown key 'qestion'; did you mean 'question'?",
                                   "1:1: 'question' is missing; add it"]),
        ("greater", "up", ["7:48: direction is 'up'; use one of greater, less"]),
        ("organism:", "organsim:", ["4:3: unknown target 'organsim'; did you mean 'organism'?"]),
        ("[0, 1]", "[0, x]", ["4:26: layers: input should be a valid integer; it is \"x\""]),
        ("behaviour: logit", "behavior: logit", ["7:5: a claim is about one of behaviour, features or "
                                                 "ablation; did you mean 'behaviour'?"]),
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
        ("name: demo", "name: demo\nname: again", ["2:1: key 'name' is given twice; keep one"]),
        ("layers: [0, 1]", "layers: [0, 1", ["4:27: not YAML: expected ',' or ']', but got '}'; correct the line"]),
    ],
)  # fmt: skip
def test_faults_of_a_spec_are_named_with_place_and_remedy(tmp_path, old, new, expected):
    assert sorted(spec_faults(tmp_path, SPEC.replace(old, new))) == sorted(expected)


def test_several_faults_come_at_once_in_their_order(tmp_path):
    text = SPEC.replace("question", "qestion").replace("greater", "up").replace("[0, 1]", "x")
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
    text = SPEC + extra
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
    text = SPEC + f"ablations:\n  - {{name: top, {ablation}}}\n"
    faults = spec_faults(tmp_path, text)
    assert any(expected in fault for fault in faults), faults
    assert all(fault.startswith("9:") for fault in faults)


TWO = SPEC.replace("organism:", "gemma-2-2b: {layers: [0, 1]}\n  organism:")


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


def test_a_missing_spec_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'voices'"):
        load("voicse")


def test_a_name_means_the_spec_of_the_working_directory_first(tmp_path, monkeypatch):
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "voices.yaml").write_text(SPEC)
    (tmp_path / "evals" / "two.yaml").write_text(SPEC)
    (tmp_path / "pilot").mkdir()  # a folder of a spec's name is not the spec
    monkeypatch.chdir(tmp_path)
    assert load("voices").spec.name == load("two").spec.name == "demo"
    assert load("pilot").spec.name == "pilot"
    with pytest.raises(InputError, match="did you mean 'two'"):
        load("twoo")
    with pytest.raises(InputError, match="did you mean 'placebo'"):
        load("placbo")


@pytest.mark.parametrize(
    "path, said",
    [
        ("evals", "evals: it is a folder; name evals/*.yaml"),
        ("empty", "empty: it is a folder; name a spec, a YAML file"),
        ("evals/*.yaml", "evals/*.yaml: it is a pattern, not a file; write it without quotes"),
        ("nowhere/*.yaml", "nowhere/*.yaml: no file is named like this; check the folder"),
    ],
)
def test_a_folder_or_a_pattern_is_no_spec(tmp_path, monkeypatch, path, said):
    (tmp_path / "evals").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "evals" / "two.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        load(path)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "folder, spec",
    [(".", "evals/demo.yaml"), ("evals", "demo.yaml"), ("evals/deeper", "../demo.yaml")],
)
def test_prompts_are_found_in_the_folder_above_from_wherever_one_stands(
    tmp_path, prompt_lines, monkeypatch, folder, spec
):
    (tmp_path / "evals" / "deeper").mkdir(parents=True)
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, prompt_lines)))
    (tmp_path / "evals" / "demo.yaml").write_text(SPEC.replace("prompts.jsonl", "p.jsonl"))
    monkeypatch.chdir(tmp_path / folder)
    assert load(spec).prompts_path.samefile(tmp_path / "p.jsonl")


def test_prompts_are_looked_for_in_the_order_that_the_pages_give(tmp_path, root, monkeypatch):
    """Beside the spec, in the folder above it, in the working directory, in the package."""
    places = [tmp_path / "a" / "b", tmp_path / "a", tmp_path / "here"]
    for place in places:
        (place / "data").mkdir(parents=True)
        (place / "data" / "voices.jsonl").write_text("")
    path = places[0] / "demo.yaml"
    path.write_text(SPEC.replace("prompts.jsonl", "data/voices.jsonl"))
    monkeypatch.chdir(tmp_path / "here")
    for place in [*places, root]:
        found = load(path).prompts_path
        assert found.samefile(place / "data" / "voices.jsonl")
        if place != root:
            found.unlink()


def test_right_prompts_load_completed(tmp_path, prompt_lines):
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, prompt_lines)))
    prompts = load_prompts(path, balanced=True)
    assert [prompt.id for prompt in prompts] == [line["id"] for line in prompt_lines]
    assert (prompts[0].correct, prompts[0].misconception) == ("zero", "east")
    assert (prompts[1].correct, prompts[1].misconception) == ("zero", "east")
    assert [prompt.answer for prompt in prompts[:2]] == ["zero", "east"]


def test_the_proof_of_concepts_fields_are_enough(tmp_path):
    lines = [
        {"id": f"vel_accel_01{suffix}", "pair_id": "vel_accel_01", "label": label,
         "prompt": "At the top its acceleration is", "expected_correct_answer": answer}
        for suffix, label, answer in (("a", "correct", "downward"), ("b", "misconception", "zero"))
    ]  # fmt: skip
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    first, second = load_prompts(path)
    assert first.family == second.family == "vel_accel_01"
    assert (second.correct, second.misconception) == ("downward", "zero")


def change(lines, index, **fields):
    changed = [dict(line) for line in lines]
    changed[index] |= fields
    return [{k: v for k, v in line.items() if v is not None} for line in changed]


@pytest.mark.parametrize(
    "index, fields, expected",
    [
        (3, {"id": "car-speeda"}, "4: id 'car-speeda' is used on line 1 already"),
        (0, {"answer": " "}, "1: 'answer' is empty"),
        (0, {"answer": "zero "}, "1: 'answer' begins or ends with a space"),
        (0, {"prompt": "It is "}, "1: 'prompt' ends with white space"),
        (2, {"prompt": 7}, "3: 'prompt' is a number"),
        (2, {"promt": "x"}, "3: unknown field 'promt'; did you mean 'prompt'?"),
        (2, {"prompt": None}, "3: 'prompt' is missing"),
        (1, {"label": "misconceptoin"}, "2: unknown label 'misconceptoin'; did you mean"),
        (1, {"label": "correct"}, "2: pair 'car-speed' has a second correct variant"),
        (1, {"family": "bus"}, "2: pair 'car-speed' spans two families"),
        (1, {"answer": "zero", "prompt": "Careful car speed: it is"}, "2: the variants of pair 'car-speed' are equal"),
        (1, {"answer": "zero"}, "2: pair 'car-speed' has no wrong answer"),
        (0, {"answer": "west"}, "2: the correct variant of pair 'car-speed' answers 'west' where 'zero' is expected"),
        (0, {"prompt": "half \ud800"}, "1: 'prompt' holds half of a surrogate pair"),
        (0, {"prompt": "\u200b"}, "1: 'prompt' is empty"),
        (1, {"expected_correct_answer": "west"}, "2: the variants of pair 'car-speed' expect 'zero' and 'west'"),
        (1, {"answer": "zero at last"}, "2: the answers 'zero' and 'zero at last' of pair 'car-speed' begin alike"),
        (4, {"prompt": "Careful car speed: it is"}, "5: family 'ball' has the same prompt as family 'car' (line 1)"),
        (0, {"tags": ["x"]}, "1: 'tags' is not an object of texts"),
    ],
)  # fmt: skip
def test_faults_of_prompts_are_named_by_line(tmp_path, prompt_lines, index, fields, expected):
    faults = prompt_faults(tmp_path, change(prompt_lines, index, **fields))
    assert any(fault.startswith(expected) for fault in faults), faults


def test_a_missing_partner(tmp_path, prompt_lines):
    assert prompt_faults(tmp_path, prompt_lines[:-1]) == [
        "7: pair 'ball-change' has no misconception variant; add its partner"
    ]


def test_an_unbalanced_family_is_named_with_its_words(tmp_path, prompt_lines):
    (fault,) = prompt_faults(tmp_path, prompt_lines[:6])
    assert fault.startswith("5: family 'ball' is not balanced: 'east' is right 1 time less often")
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompt_lines[:6])))
    assert len(load_prompts(tmp_path / "prompts.jsonl", balanced=False)) == 6


def test_all_faults_of_a_file_come_at_once(tmp_path, prompt_lines):
    lines = change(change(prompt_lines, 0, answer=""), 7, promt="x")
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    faults = prompt_faults(tmp_path, content + b"{not json}\n[1]\n")
    assert [fault.split(":")[0] for fault in faults] == ["1", "8", "9", "10"]


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"\xef\xbb\xbf{}", "1: begins with a byte order mark"),
        (b'{"id": "a"}\n{"id": "\xff"}', "2:9: byte 0xff is not UTF-8"),
        (b"", "1: the file has no prompts"),
        (b"\n\n", "1: the file has no prompts"),
        (b'{"id": "a", "id": "b"}', "1: field 'id' is given twice"),
        (b"[" * 100_000, "1:1: not JSON: nested too deeply"),
    ],
)
def test_files_that_are_not_prompt_files(tmp_path, content, expected):
    assert prompt_faults(tmp_path, content)[0].startswith(expected)


def test_equal_prompts_at_a_readout_before_the_answer_are_refused(tmp_path, prompt_lines):
    same = [line | {"prompt": line["prompt"].split(" ", 1)[1]} for line in prompt_lines]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, same)))
    (tmp_path / "demo.yaml").write_text(SPEC)
    with pytest.raises(InputError, match="every difference is zero by construction"):
        load(tmp_path / "demo.yaml").plan("organism")
    (tmp_path / "demo.yaml").write_text(SPEC + "readout: {at: answer}\n")
    assert load(tmp_path / "demo.yaml").plan("organism").layers == (0, 1)


def test_a_layer_that_the_model_lacks_is_refused(tmp_path, prompt_lines):
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompt_lines)))
    (tmp_path / "demo.yaml").write_text(SPEC.replace("[0, 1]", "[0, 99]"))
    with pytest.raises(InputError, match="organism has no layer 99; name layers from 0 to 5"):
        load(tmp_path / "demo.yaml").plan("organism")


@pytest.mark.parametrize("value", ["1e-1", "1e30", "-2e3", "1E-9", "3e5", "1e400", "nan", "-1.5e7"])
def test_what_is_advised_for_a_number_is_read_as_that_number(tmp_path, value):
    (fault,) = spec_faults(tmp_path, SPEC.replace("greater", f"greater, than: {value}"))
    if not math.isfinite(float(value)):
        assert "should be a valid number" in fault
    else:
        advised = yaml.safe_load(fault.rpartition("; write ")[2])
        assert isinstance(advised, float)
        assert advised == float(value)
