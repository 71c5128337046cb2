"""Variants of any name: what a spec calls them, what its prompts do, and the roles that they have inside."""

import json

import pytest

from harness.errors import InputError
from harness.specs.claims import in_words
from harness.specs.prompt_file import load_prompts
from harness.specs.spec import Spec, json_schema
from harness.specs.spec_file import load
from harness.specs.variants import Variants
from tests.helpers import ROOT
from tests.helpers.cli import invoke
from tests.helpers.specs import family_lines

# As they were before a variant could have another name: registrations and runs are found by them.
HASHES = {
    "evals/pilot.yaml": "7dcc6b5eb3993299af96dbb4baf952a807efbd0fd48169b96dc8646aa6915aa7",
    "evals/placebo.yaml": "f33fb2b628a92a0a2128b0e5d4410db5f604c132f4a7b0e52ffb1da88db3c5d6",
    "evals/transfer.yaml": "73c11da88a4f2777b3f98e107b2e47dd69c145cdf734d462bcf1831496e8b732",
    "evals/velocity_vs_acceleration.yaml": "67ad02beb1a04d092638fb607708bbcabe76f042cf66d281c0bff14b45f77df4",
    "evals/voices.yaml": "b2d90d181fad5d18866e0113caaa81e79c8cc6381e7a09c3dac844f471d07d0c",
    "tests/helpers/every_edit.yaml": "1c9f8bb51e5d22459e6590189a6271abf868b51fb9a981d3c0e6777b496712d2",
}
PROMPTS = {
    "evals/pilot.yaml": "0a2713c43d9ad89fadcbf31e58733ed0925391c42d3df5560555dc2cdb8b3ade",
    "evals/voices.yaml": "af75f73b8494a9e112f321fe41b668d2efc7cd05bac3ce0c593c3ae30e0164e3",
}
CLEAN = Variants("clean", "corrupted")
SPEC = """\
name: swapped
question: Is it the name?
targets: {organism: {layers: [1, 3]}}
prompts: mine.jsonl
balance: none
contrast: {of: clean, against: corrupted, alpha: 0.3}
unadjusted: three families confirm
ablations: [{name: top, select: {top: 2, by: contrast, toward: clean}, variant: corrupted, controls: 4}]
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
  - {name: other, behaviour: log_p_corrupted, direction: less}
  - {name: matters, ablation: top, direction: toward-clean, beyond: zero}
  - {name: spares, collateral: top, prompts: beside.jsonl, metric: log_p_clean, within: 1}
"""


def renamed(lines, names=CLEAN):
    return [line | {"label": names.name(line["label"])} for line in lines]


def write(folder, text=SPEC, lines=None, name="mine"):
    objects = renamed(family_lines()) if lines is None else lines
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, objects)))
    (folder / "beside.jsonl").write_text("\n".join(map(json.dumps, family_lines())))
    path = folder / "swapped.yaml"
    path.write_text(text)
    return path


def faults(folder, text=SPEC, lines=None):
    with pytest.raises(InputError) as caught:
        load(write(folder, text, lines), with_prompts=True).plan()
    return [str(fault).removeprefix(f"{folder}/") for fault in caught.value.faults]


@pytest.mark.parametrize("path", HASHES)
def test_no_hash_of_an_older_spec_changes(path):
    file = load(ROOT / path)
    assert file.spec.hash == HASHES[path]
    if path in PROMPTS:
        assert file.plan().prompts_hash == PROMPTS[path]


def test_inside_the_positive_variant_has_the_role_of_the_right_one(tmp_path):
    file = load(write(tmp_path))
    spec, plan = file.spec, file.plan()
    assert spec.variants == CLEAN
    (top,) = spec.ablations
    assert (top.select.toward, top.variant) == ("correct", "misconception")
    assert spec.claims[1].behaviour == "log_p_misconception"
    assert [claim.direction for claim in spec.claims[2:3]] == ["toward-correct"]
    assert spec.claims[3].metric == "log_p_correct"
    assert {(p.variant, p.label) for p in plan.prompts} == {
        ("clean", "correct"),
        ("corrupted", "misconception"),
    }
    # Another file may have the old names: that the positive one is called otherwise here means nothing there.
    assert {p.variant for p in plan.others["beside.jsonl"]} == {"correct", "misconception"}


def test_a_spec_is_written_as_it_was_read_and_reads_as_the_same(tmp_path):
    spec = load(write(tmp_path)).spec
    written = json.loads(spec.canonical())
    assert written["ablations"][0]["select"]["toward"] == "clean"
    assert written["ablations"][0]["variant"] == "corrupted"
    assert [claim.get("direction") for claim in written["claims"]][2] == "toward-clean"
    assert written["claims"][1]["behaviour"] == "log_p_corrupted"
    assert written["claims"][3]["metric"] == "log_p_clean"
    again = Spec.model_validate_json(spec.canonical(), strict=False)
    assert (again, again.hash) == (spec, spec.hash)


def test_a_variant_that_is_left_out_is_the_one_that_is_not_positive(tmp_path):
    said = load(write(tmp_path)).spec
    left_out = load(write(tmp_path, SPEC.replace(", variant: corrupted", ""))).spec
    assert left_out.hash == said.hash


def test_the_old_names_the_other_way_round_keep_their_roles():
    contrast = {"of": "misconception", "against": "correct"}
    made = Spec.model_validate(
        {
            "name": "x",
            "question": "?",
            "targets": {"organism": {}},
            "prompts": "-",
            "contrast": contrast,
            "claims": ({"name": "a", "behaviour": "log_p_correct", "direction": "less"},),
        }
    )
    assert made.variants.are_roles
    assert (made.contrast.positive, made.contrast.negative) == ("misconception", "correct")
    assert made.claims[0].behaviour == "log_p_correct"


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("toward: clean", "toward: correct", "toward is 'correct'; use one of clean, corrupted"),
        ("toward: clean", "toward: claen", "toward is 'claen'; did you mean 'clean'?"),
        ("variant: corrupted", "variant: misconception", "variant is 'misconception'; use one of"),
        ("toward-clean", "toward-correct", "direction is 'toward-correct'; use one of toward-clean, toward-corrupted"),
        ("toward-clean", "toward-misconception", "direction is 'toward-misconception'; "),
        ("log_p_corrupted", "log_p_misconception", "behaviour is 'log_p_misconception'; "),
        ("log_p_corrupted", "log_p_corupted", "behaviour is 'log_p_corupted'; did you mean 'log_p_corrupted'?"),
        ("metric: log_p_clean", "metric: log_p_correct", "metric is 'log_p_correct'; "),
        ("against: corrupted", "against: clean", "a variant is compared with itself"),
        ("against: corrupted", "against: Clean", "'Clean' differs from 'clean' only in case"),
        ("of: clean", "of: two words", "of is 'two words'; use letters and digits"),
    ],
)  # fmt: skip
def test_a_name_that_no_variant_has_is_told_with_those_there_are(tmp_path, old, new, said):
    found = faults(tmp_path, SPEC.replace(old, new))
    assert any(said in fault for fault in found), found


def test_labels_that_the_file_does_not_have_are_told_with_those_it_has(tmp_path):
    text = SPEC.replace("clean", "cleann")
    (said,) = faults(tmp_path, text)
    assert said.startswith("swapped.yaml:6:12: no line of ")
    assert said.endswith("has the label 'cleann'; did you mean 'clean'? It has clean, corrupted")
    (said, *_) = faults(tmp_path, lines=family_lines())
    assert "has the labels 'clean' and 'corrupted'" in said
    assert said.endswith("name two of its labels in `contrast`: correct, misconception")


def test_further_variants_are_left_aside_and_counted(tmp_path):
    lines = renamed(family_lines())
    third = [
        line | {"id": f"{line['id']}-3", "label": "blank", "prompt": f"Well. {line['prompt']}"}
        for line in lines
        if line["label"] == "clean"
    ]
    path = write(tmp_path, lines=lines + third)
    assert len(load(path).prompts) == len(lines)
    found = invoke("check", path)
    assert (
        "  variants: clean, the positive one, against corrupted; left aside: 12 lines (blank 12)"
        in found.stdout.splitlines()
    )
    told = json.loads(invoke("check", path, "--json").stdout)["specs"][0]
    assert (told["variants"], told["left_aside"]) == (["clean", "corrupted"], {"blank": 12})
    faulty = [
        line | {"answer": " "} if line["label"] == "blank" else line for line in lines + third
    ]
    assert len(faults(tmp_path, lines=faulty)) == 12, "they are checked for form"


def test_a_misspelt_label_is_no_further_variant(tmp_path):
    lines = renamed(family_lines())
    lines[1]["label"] = "corupted"
    assert any(
        fault.startswith("mine.jsonl:2: unknown label 'corupted'; did you mean 'corrupted'?")
        for fault in faults(tmp_path, lines=lines)
    )


def test_the_expected_answer_may_be_left_out_where_each_line_has_its_own(tmp_path):
    lines = [
        {key: value for key, value in line.items() if key != "expected_correct_answer"}
        for line in renamed(family_lines())
    ]
    path = write(tmp_path, lines=lines)
    without = load(path).prompts
    assert without == load(write(tmp_path)).prompts
    del lines[1]["answer"]
    assert any(
        fault.startswith("mine.jsonl:2: 'expected_correct_answer' is missing")
        for fault in faults(tmp_path, lines=lines)
    )


@pytest.mark.parametrize(
    "index, change, said",
    [
        (1, {"answer": "zero"}, "has no corrupted answer; let the corrupted variant's answer be it"),
        (0, {"expected_correct_answer": "east"}, "the clean variant of pair '0-velocity' answers 'zero'"),
        (1, {"label": "clean"}, "has a second clean variant"),
    ],
)  # fmt: skip
def test_faults_of_pairs_say_the_names(tmp_path, index, change, said):
    lines = renamed(family_lines())
    lines[index] |= change
    assert any(said in fault for fault in faults(tmp_path, lines=lines))


def test_an_unbalanced_family_is_told_by_the_names(tmp_path):
    lines = renamed(family_lines())[2:]
    (said,) = faults(tmp_path, SPEC.replace("balance: none\n", ""), lines)
    assert "is the clean answer 1 time more often than the corrupted answer" in said


def test_claims_in_words_say_the_names_and_old_ones_what_they_said(tmp_path):
    spec = load(write(tmp_path)).spec
    said = [in_words(claim, variants=spec.variants) for claim in spec.claims]
    assert said == [
        "on average over families, the difference between the variants in log p(clean answer) - "
        "log p(corrupted answer) is greater than 0 nats",
        "on average over families, log p(corrupted answer) is less than 0 nats",
        "ablation top moves the answers toward the clean answer",
        "ablation top changes the log-probability of the clean answer by less than 1 nats on the "
        "prompts of beside.jsonl",
    ]
    assert in_words(spec.claims[2]) == "ablation top moves the answers toward the right answer"


def test_the_prompts_hash_changes_with_the_names(tmp_path):
    first = load(write(tmp_path)).plan().prompts_hash
    text = SPEC.replace("clean", "plain").replace("toward-clean", "toward-plain")
    lines = renamed(family_lines(), Variants("plain", "corrupted"))
    assert load(write(tmp_path, text, lines)).plan().prompts_hash != first


def test_prompts_by_themselves_have_the_old_labels(tmp_path):
    write(tmp_path)
    with pytest.raises(InputError, match="has the labels 'correct' and 'misconception'"):
        load_prompts(tmp_path / "mine.jsonl")


def test_an_editor_takes_names_and_nothing_else():
    import jsonschema

    checker = jsonschema.Draft202012Validator(
        json_schema()["$defs"]["Ablation"] | {"$defs": json_schema()["$defs"]}
    )
    made = {"name": "top", "select": {"by": "contrast", "toward": "clean"}, "variant": "corrupted"}
    checker.validate(made)
    with pytest.raises(jsonschema.ValidationError):
        checker.validate(made | {"variant": "two words"})
