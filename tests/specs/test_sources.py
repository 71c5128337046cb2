"""Features of another eval in a spec: what may stand beside `from`, and which eval runs first."""

import json

import pytest

from harness.errors import InputError
from harness.specs.ablations import Ablation, Select
from harness.specs.design import smallest_effect
from harness.specs.sources import in_order, source_faults, source_lines, sources_of
from harness.specs.spec_file import load
from harness.specs.transfer_checks import other_edit
from tests.helpers.specs import BEHAVIOUR_SPEC, family_lines


def write(folder, name="demo", select="from: other/top", kind="zero", discovery="0", claim=""):
    """A spec with one ablation `top`, that selects so."""
    path = folder / f"{name}.yaml"
    edit = f"{{name: top, select: {{{select}}}, kind: {kind}, controls: 19}}"
    text = BEHAVIOUR_SPEC.replace("name: demo", f"name: {name}").replace(
        "claims:\n", f"split: {{discovery: {discovery}}}\nablations:\n  - {edit}\nclaims:\n{claim}"
    )
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"select": "from: other/top, by: contrast"}, "by is not used with `from`"),
        ({"select": "from: other/top, top: 3"}, "top is not used with `from`"),
        ({"select": "from: demo/top"}, "cannot take the features that it freezes itself"),
        ({"select": "from: other/top, least: 0.5"}, "least is not used with `from`"),
        ({"select": "from: other/top, target: b"}, "target is not used with `from`"),
        (
            {"select": "by: list, features: {1: [3]}, match: decoder"},
            "match is of a set that another eval",
        ),
        (
            {"select": "by: truth, layers: shared"},
            "layers is of a set that another eval froze; drop it",
        ),
        ({"select": "from: other"}, "write the eval and its ablation: SPEC_NAME/ABLATION"),
        ({"select": "form: other/top"}, "unknown key 'form'; did you mean 'from'?"),
        ({"select": "toward: correct"}, "it does not say by what features are selected"),
        ({"select": "by: contrast"}, "no family is left to select the ablation's features on"),
        ({"kind": "mean"}, "no family is left to take the values of the edit from"),
        (
            {"claim": "  - {name: d, decoy: top, prompts: x.jsonl, less_than: 0.5}\n"},
            "no family is left to tell which way each feature answers the trait",
        ),
        ({}, None),
        ({"select": "from: other/top, toward: misconception"}, None),
        ({"select": "from: other/top, match: decoder, least: 1, target: b, layers: shared"}, None),
        ({"select": "by: list, features: {1: [3]}"}, None),
        ({"kind": "mean", "discovery": "0.5"}, None),
    ],
)
def test_what_stands_beside_from_and_what_needs_discovery(tmp_path, options, words):
    path = write(tmp_path, **options)
    if words is None:
        assert load(path).spec.ablations
        return
    with pytest.raises(InputError) as error:
        load(path)
    assert words in str(error.value)


def test_only_what_decides_is_part_of_the_hash():
    assert Select.model_validate({"from": "a/b"}).model_dump() == {"from": "a/b"}
    other_way = {"from": "a/b", "toward": "misconception"}
    assert Select.model_validate(other_way).model_dump() == other_way
    matched = {"from": "a/b", "match": "decoder", "least": 0.9, "layers": "shared", "target": "t"}
    assert Select.model_validate(matched).model_dump() == matched
    assert "from" not in Select(by="contrast").model_dump()
    assert set(Select(by="truth").model_dump()) == {
        "top",
        "by",
        "toward",
        "method",
        "steps",
        "features",
    }


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"select": "by: contrast", "discovery": "0.5"}, None),
        ({"select": "from: third/top"}, "top of other has its features from third itself"),
        (
            {"select": "by: contrast, toward: misconception", "discovery": "0.5"},
            "other selects top toward the misconception answer; write `toward: misconception`",
        ),
    ],
)
def test_check_reads_the_other_eval_where_it_lies_beside(tmp_path, other, words):
    file = load(write(tmp_path))
    assert list(source_faults(file)) == []  # it may be in the results file
    assert source_lines(file) == [
        "top: the features of top of other; first `harness run other` on the same target"
    ]
    write(tmp_path, "other", **other)
    found = [str(fault) for fault in source_faults(file)]
    assert len(found) == (words is not None)
    assert all(words in fault and f"{file.path}:" in fault for fault in found)


def test_an_ablation_that_the_other_eval_does_not_make(tmp_path):
    write(tmp_path, "other", "by: contrast", discovery="0.5")
    file = load(write(tmp_path, select="from: other/topp"))
    (fault,) = source_faults(file)
    assert (fault.what, fault.remedy) == ("other has no ablation 'topp'", "did you mean 'top'?")


CLAIM = "  - {name: holds, transfers: top, than: 0.5}\n"


def pair(tmp_path, *, families=(14, 14), kind="zero", shared=0, **here):
    """A spec that takes a set and claims that it transfers, beside the one that freezes it; as a file."""
    names = ("demo", "other")
    file = write(tmp_path, claim=CLAIM, **here)
    write(tmp_path, "other", "by: contrast", kind=kind, discovery="0.5")
    for name, n in zip(names, families, strict=True):
        lines = family_lines(n)
        for line in lines:
            if name == "demo" and int(line["family"][1:]) >= shared:
                line["family"] = f"own-{line['family']}"
                line["prompt"] = f"Elsewhere. {line['prompt']}"
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
        path = tmp_path / f"{name}.yaml"
        path.write_text(path.read_text().replace("prompts.jsonl", f"{name}.jsonl"))
    return load(file)


def test_check_says_what_a_claim_of_transfer_rests_on_and_detects(tmp_path):
    file = pair(tmp_path)
    assert list(source_faults(file)) == []
    _, line = source_lines(file)
    effect = smallest_effect(7, 0.05) * (7 * (1 / 14 + 0.25 / 7)) ** 0.5
    assert line == (
        "holds on organism: 14 families here and 7 families there; four times in five it finds at best an "
        f"impact that is {effect:.2g} of their standard deviations above 50% of that there"
    )


def test_check_refuses_a_transfer_that_nothing_could_support(tmp_path):
    few = pair(tmp_path, families=(14, 8))
    (fault,) = map(str, source_faults(few))
    words = "claim 'holds' cannot reach alpha 0.05: 14 families here and 4 families there, which can give no "
    assert words in fault
    # Of the other eval's families seven confirm, of which those that confirm here as well are no others.
    (fault,) = map(str, source_faults(pair(tmp_path, shared=14)))
    assert "7 families here and 0 families there, which can give no p below 1" in fault
    (fault,) = map(str, source_faults(pair(tmp_path, kind="direction")))
    words = "needs the same edit in both evals: the edit that froze it is another one: `kind` is direction, "
    assert words + "and here zero; edit alike" in fault


def test_a_matched_set_may_be_of_another_target(tmp_path):
    write(tmp_path, "other", "by: contrast", discovery="0.5")
    for named, faults in (("", 0), (", target: organism", 0), (", target: mock", 1)):
        path = write(tmp_path, select=f"from: other/top, match: decoder{named}")
        path.write_text(path.read_text().replace("organism: {", "mock: {"))
        found = list(source_faults(load(path)))
        assert len(found) == faults
    assert found[0].what == "other freezes no top on mock"
    assert found[0].remedy == "name one of organism"
    named = load(write(tmp_path, select="from: other/top, match: decoder, target: organism"))
    assert source_lines(named)[0].endswith("first `harness run other` on target organism")


@pytest.mark.parametrize(
    ("here", "there", "matched", "words"),
    [
        ({}, {}, True, ""),
        ({"positions": "prompt"}, {}, False, "`positions` is all, and here prompt"),
        ({}, {"positions": (1, -1)}, False, "`positions` is [1, -1], and here all"),
        ({"variant": "correct"}, {}, False, "`variant` is misconception, and here correct"),
        ({"kind": "scale", "value": 2.0}, {"kind": "scale", "value": 3.0}, False, "`value` is 3.0, and here 2.0"),
        ({"kind": "clamp", "value": 2.0}, {"kind": "clamp", "value": 2.0}, False, ""),
        ({"kind": "clamp", "value": 2.0}, {"kind": "clamp", "value": 2.0}, True, "clamp is in the unit of"),
        ({"controls": 5}, {"doses": (0.0,)}, True, ""),
    ],
)  # fmt: skip
def test_an_edit_is_the_same_only_in_all_that_decides_what_it_does(here, there, matched, words):
    one, other = (
        Ablation.model_validate({"name": "a", "select": {"by": "contrast"}} | more)
        for more in (here, there)
    )
    said = other_edit(one, other, matched=matched)
    assert (words in said) if words else (said == "")


def test_a_claim_of_transfer_needs_a_set_of_another_eval(tmp_path):
    with pytest.raises(
        InputError, match="'top' selects its features here; claim it of one that takes"
    ):
        load(write(tmp_path, select="by: contrast", discovery="0.5", claim=CLAIM))


def test_sources_run_first_and_all_else_as_it_is_given(tmp_path):
    selects = {"a": "from: c/top", "b": "by: contrast", "c": "by: contrast", "d": "from: gone/top"}
    files = [
        load(write(tmp_path, name, select, discovery="0.5")) for name, select in selects.items()
    ]
    assert [sources_of(file) for file in files] == [["c"], [], [], ["gone"]]
    assert [file.spec.name for file in in_order(files)] == ["b", "c", "a", "d"]
    assert in_order(files[1:]) == files[1:]


def test_evals_that_take_features_from_each_other(tmp_path):
    files = [load(write(tmp_path, a, f"from: {b}/top")) for a, b in ("ab", "bc", "ca")]
    with pytest.raises(InputError, match="a, b, c take features from each other in a circle"):
        in_order(files)
