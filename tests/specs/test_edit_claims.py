"""Claims about edits in a spec file: what belongs together, which prompts they need, and their units."""

import json

import pytest
from pydantic import TypeAdapter

from harness.errors import InputError
from harness.specs.claims import CLAIM_KINDS, Claim, in_words
from harness.specs.edit_claims import EditClaim
from harness.specs.plan_checks import unreachable
from harness.specs.spec import Spec
from harness.specs.spec_file import load
from harness.specs.trials import limited
from tests.helpers.specs import behaviour_spec, family_lines

ABLATIONS = """\
ablations:
  - {name: top, select: {top: 2, by: contrast}, doses: [0, 0.5, 1, 2], controls: 40}
  - {name: swap, select: {top: 2, by: contrast}, kind: resample, source: pair}
"""


@pytest.fixture
def written(tmp_path):
    """Writes a spec of these claims beside its prompts; other prompts are in `other.jsonl`."""

    def write(*claims, ablations=ABLATIONS):
        lines = [json.dumps(line) for line in family_lines(14)]
        (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
        other = [line | {"prompt": f"Elsewhere. {line['prompt']}"} for line in family_lines(8)]
        (tmp_path / "other.jsonl").write_text("\n".join(map(json.dumps, other)))
        path = tmp_path / "demo.yaml"
        path.write_text(
            "name: demo\nquestion: Is it so?\ntargets:\n  organism: {layers: [0, 1]}\n"
            "prompts: prompts.jsonl\n"
            + ablations
            + "claims:\n"
            + "".join(f"  - {claim}\n" for claim in claims)
        )
        return path

    return write


RIGHT = {
    "share": "{name: c, share: top, than: 0.25}",
    "monotone": "{name: c, monotone: top, direction: toward-correct}",
    "specific": "{name: c, specific: top, within: 0.5}",
    "collateral": "{name: c, collateral: top, prompts: other.jsonl, within: 0.1}",
    "stable": "{name: c, stable: top, than: 0.8}",
}


@pytest.mark.parametrize("kind", RIGHT)
def test_each_kind_is_read_and_knows_its_ablation(written, kind):
    (claim,) = load(written(RIGHT[kind])).spec.claims
    assert isinstance(claim, EditClaim)
    assert (claim.kind, claim.edit) == (kind, "top")
    assert isinstance(claim, CLAIM_KINDS[kind])


@pytest.mark.parametrize("kind", RIGHT)
def test_each_kind_names_an_ablation_that_there_is(written, kind):
    with pytest.raises(InputError) as raised:
        load(written(RIGHT[kind].replace("top", "tpo")))
    (fault,) = raised.value.faults
    assert "there is no ablation 'tpo'" in fault.what
    assert "'top'" in fault.remedy


@pytest.mark.parametrize(
    "claim, ablations, what",
    [
        (
            "{name: c, features: significant, among: tpo, at_least: 1}",
            ABLATIONS,
            "there is no ablation 'tpo'",
        ),
        (
            "{name: c, features: significant, among: top, at_least: 1}",
            ABLATIONS.replace("controls: 40}", "controls: 40, only: [gemma-2-2b]}"),
            "'top' is not made on organism",
        ),
        (
            RIGHT["stable"],
            ABLATIONS.replace("by: contrast}, doses", "by: truth}, doses"),
            "no families select the features of 'top'",
        ),
        (RIGHT["monotone"], ABLATIONS.replace("[0, 0.5, 1, 2]", "[0, 1]"), "too few doses"),
        ("{name: c, specific: swap, within: 1}", ABLATIONS, "takes values from other prompts"),
        (RIGHT["collateral"].replace("top", "swap"), ABLATIONS, "takes values from other prompts"),
        (
            "{name: c, ablation: top, direction: toward-correct, beyond: directions}",
            ABLATIONS,
            "held against no random directions",
        ),
        (
            RIGHT["specific"],
            ABLATIONS.replace("doses: [0, 0.5, 1, 2]", "kind: direction, directions: 9"),
            "depends on the direction",
        ),
        (RIGHT["share"].replace("0.25", "1.5"), ABLATIONS, "less than 1"),
        (RIGHT["monotone"].replace("toward-correct", "up"), ABLATIONS, "direction is 'up'"),
        ("{name: c, sahre: top, than: 0.2}", ABLATIONS, "a claim is about one of behaviour"),
    ],
)
def test_what_does_not_belong_together_is_said(written, claim, ablations, what):
    with pytest.raises(InputError) as raised:
        load(written(claim, ablations=ablations))
    assert any(what in fault.what for fault in raised.value.faults)


def test_a_faulty_claim_beside_a_faulty_ablation_says_no_more_than_is_wrong(written):
    """A claim may name the ablation that cannot be read."""
    path = written(
        RIGHT["share"], "{name: d, monotone: [top], direction: toward-correct}",
        ablations=ABLATIONS.replace("name: top", "nmae: top"),
    )  # fmt: skip
    with pytest.raises(InputError) as raised:
        load(path)
    said = [fault.what for fault in raised.value.faults]
    assert not any("there is no ablation" in one for one in said)
    assert any("nmae" in one for one in said)


def test_another_prompt_file_is_looked_for_and_checked_as_the_specs_own(written):
    path = written(RIGHT["collateral"])
    file = load(path)
    assert len(file.others["other.jsonl"]) == 32
    assert file.plan().others == file.others
    (path.parent / "other.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(InputError, match=r"other\.jsonl:1"):
        load(path).plan()
    (path.parent / "other.jsonl").unlink()
    with pytest.raises(InputError) as raised:
        load(path).plan()
    (fault,) = raised.value.faults
    assert fault.what == "there is no prompt file other.jsonl"
    assert ":10:" in fault.where


def test_side_effects_have_units_of_the_other_variant_and_of_each_text_of_another_file(written):
    plan = load(
        written(RIGHT["specific"], RIGHT["collateral"].replace("name: c", "name: d"))
    ).plan()
    assert plan.files_beside("top") == ("", "other.jsonl")
    assert plan.files_beside("swap") == ()
    assert ("side effects", "top") in plan.steps
    assert ("side effects", "swap") not in plan.steps
    own = {one for unit in plan.units("side effects", "top") for one in unit.prompts}
    confirming = plan.of("confirmation")
    assert own == {prompt.id for prompt in confirming if prompt.label == "correct"}
    other = plan.units("side effects", "top", file="other.jsonl")
    asked = [one for unit in other for one in unit.prompts]
    texts = {prompt.text for prompt in plan.others["other.jsonl"]}
    by_id = {prompt.id: prompt for prompt in plan.prompts_of("other.jsonl")}
    assert sorted(by_id[one].text for one in asked) == sorted(texts)
    ids = [
        unit.id
        for file in ("", "other.jsonl")
        for unit in plan.units("side effects", "top", file=file)
    ]
    assert len(set(ids)) == len(ids)
    stages = sum(
        len(plan.units(stage, ablation))
        for stage, ablation in plan.steps
        if stage not in ("ablate", "side effects")
    )
    ablated = 2 * len(plan.units("ablate", "top")) + 3 * len(plan.units("ablate", "swap"))
    assert plan.n_units == stages + ablated + len(ids)


def test_another_files_words_are_part_of_what_a_run_is(written):
    path = written(RIGHT["collateral"])
    before = load(path).plan()
    text = (path.parent / "other.jsonl").read_text()
    (path.parent / "other.jsonl").write_text(text.replace("Elsewhere", "Somewhere"))
    assert load(path).plan().prompts_hash != before.prompts_hash
    without = load(written(RIGHT["share"])).plan()
    (path.parent / "other.jsonl").unlink()
    assert load(path).plan().prompts_hash == without.prompts_hash


def test_a_trial_has_some_families_of_the_other_file_too(written):
    plan = limited(load(written(RIGHT["collateral"])).plan(), 3)
    assert len({prompt.family for prompt in plan.others["other.jsonl"]}) == 3


def test_too_few_families_of_the_other_file_reach_no_alpha(written):
    path = written(RIGHT["collateral"])
    plan = load(path).plan()
    assert not unreachable(plan, lambda *at: "here")
    lines = [json.dumps(line) for line in family_lines(5)]
    (path.parent / "other.jsonl").write_text("\n".join(lines))
    (fault,) = unreachable(load(path).plan(), lambda *at: "here")
    assert "5 families can give no p below 0.0625" in fault.what


def test_too_few_directions_reach_no_alpha(written):
    claim = "{name: c, ablation: top, direction: toward-correct, beyond: directions}"
    few = ABLATIONS.replace("controls: 40", "controls: 40, directions: 9")
    (fault,) = unreachable(load(written(claim, ablations=few)).plan(), lambda *at: "here")
    assert "9 directions can give no p below 0.1" in fault.what
    assert fault.remedy == "ask for 19 directions"


def test_a_spec_without_any_of_it_is_the_spec_that_it_was():
    """No key of them is in the canonical form, so that no hash changes."""
    plain = behaviour_spec(ablations=({"name": "top", "select": {"by": "contrast"}},))
    assert "directions" not in plain.canonical()
    more = behaviour_spec(
        ablations=({"name": "top", "select": {"by": "contrast"}, "directions": 9},)
    )
    assert Spec.model_validate(json.loads(more.canonical(), object_hook=_tuples)) == more


def _tuples(mapping):
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in mapping.items()
    }


@pytest.mark.parametrize(
    "claim, words",
    [
        ({"share": "top", "than": 0.25}, "ablation top closes more than 25% of what the variants differ by"),
        (
            {"monotone": "top", "direction": "toward-misconception"},
            "the less ablation top leaves of its features, the further the answers move toward the misconception",
        ),
        (
            {"specific": "top", "within": 0.5},
            "ablation top moves the answers of the other variant by at most 0.5 nats",
        ),
        (
            {"collateral": "top", "prompts": "x.jsonl", "within": 0.1},
            "ablation top changes the distribution of what follows by less than 0.1 nats on the prompts of x.jsonl",
        ),
        (
            {"transfers": "top", "than": 0.5, "metric": "accuracy"},
            "ablation top moves the answers by more than 50% of what it moves them by where its features were "
            "frozen, in the share of prompts on which the right answer is the likelier one",
        ),
        (
            {"ablation": "top", "direction": "toward-correct", "beyond": "directions"},
            "ablation top moves the answers toward the right answer beyond edits as large in random directions",
        ),
    ],
)  # fmt: skip
def test_each_is_one_sentence(claim, words):
    made = TypeAdapter(Claim).validate_python({"name": "it"} | claim)
    assert in_words(made) == words
