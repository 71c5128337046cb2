"""What a target or the prompts rule out, said before a weight is loaded."""

import json
from dataclasses import replace

import pytest

from harness.errors import InputError
from harness.specs.plan import make_plan
from harness.specs.plan_checks import faults_of, unreachable
from harness.specs.prompt_pairs import complete
from harness.specs.spec_file import load
from harness.specs.targets import load_targets
from tests.helpers.specs import BEHAVIOUR_SPEC, behaviour_plan, behaviour_spec, family_lines


def test_equal_prompts_at_a_readout_before_the_answer_are_refused(tmp_path, prompt_lines):
    same = [line | {"prompt": line["prompt"].split(" ", 1)[1]} for line in prompt_lines]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, same)))
    (tmp_path / "demo.yaml").write_text(BEHAVIOUR_SPEC)
    with pytest.raises(InputError, match="every difference is zero by construction"):
        load(tmp_path / "demo.yaml").plan("organism")
    (tmp_path / "demo.yaml").write_text(BEHAVIOUR_SPEC + "readout: {at: answer}\n")
    assert load(tmp_path / "demo.yaml").plan("organism").layers == (0, 1)


def test_a_layer_that_the_model_lacks_is_refused(tmp_path, prompt_lines):
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompt_lines)))
    (tmp_path / "demo.yaml").write_text(BEHAVIOUR_SPEC.replace("[0, 1]", "[0, 99]"))
    with pytest.raises(InputError, match="organism has no layer 99; name layers from 0 to 5"):
        load(tmp_path / "demo.yaml").plan("organism")


def test_claims_out_of_reach_are_said_with_what_they_need():
    (fault,) = unreachable(behaviour_plan(families=8), lambda *at: "demo.yaml")
    assert str(fault) == (
        "demo.yaml: claim 'moved' cannot reach alpha 0.05: 4 families can give no p below 0.125; "
        "it needs 6 families on the confirming side, 12 in all, or `split: {discovery: 0.25}`"
    )
    assert not unreachable(behaviour_plan(families=12), lambda *at: "demo.yaml")
    few = behaviour_plan(
        families=12,
        ablations=({"name": "top", "select": {"by": "contrast"}, "controls": 10},),
        claims=({"name": "matters", "ablation": "top", "direction": "toward-correct"},),
    )
    (fault,) = unreachable(few, lambda *at: "demo.yaml")
    assert "its rank among 10 controls can give no p below 0.0909; ask for 19 controls" in str(
        fault
    )


@pytest.mark.parametrize(
    "top, families, said",
    [
        (17, 12, None),
        # The organism has 6,144 features on six layers.
        (
            18,
            12,
            "so many of {n} features can give no p below {p:.3g}; select `top: {most}` or fewer",
        ),
        (3, 6, "3 families that discover have no halves of two"),
    ],
)
def test_a_selection_that_cannot_be_shown_to_be_stable_is_said(top, families, said):
    plan = behaviour_plan(
        families=families,
        ablations=({"name": "top", "select": {"by": "contrast", "top": top}},),
        claims=({"name": "same", "stable": "top", "than": 0.8},),
    )
    n = plan.target.features * len(plan.layers)
    faults = [str(one) for one in unreachable(plan, lambda *at: "demo.yaml")]
    if said is None:
        assert not faults
        return
    (fault,) = faults
    assert fault.startswith("demo.yaml: claim 'same' cannot reach alpha 0.05: ")
    most = max(k for k in range(1, 50) if k**2 <= 0.05 * n)
    assert said.format(n=n, p=top**2 / n, most=most) in fault


CONTRASTED = {"ablations": ({"name": "top", "select": {"by": "contrast"}},)}
RANKED = {"ablations": ({"name": "top", "select": {"by": "attribution"}},)}


@pytest.mark.parametrize(
    "families, more, share",
    [
        (5, {}, None),
        (6, {}, 0.0),
        (7, {}, 0.14),
        (10, {}, 0.4),
        (11, {}, 0.45),
        (6, RANKED, None),
        (7, RANKED, 0.14),
        (7, CONTRASTED, None),
        (8, CONTRASTED, 0.25),
        (10, {"split": {"discovery": 0.3}, "contrast": {"alpha": 0.01}}, 0.2),
    ],
)
def test_the_split_that_suffices_is_named_and_suffices(families, more, share):
    """With these prompts, and the ablations that still need families to be selected on."""
    plan = behaviour_plan(families, **more)
    (fault,) = unreachable(plan, lambda *at: "demo.yaml")
    assert fault.remedy.partition(", or ")[2] == (
        "" if share is None else f"`split: {{discovery: {share:g}}}`"
    )
    if share is not None:
        mended = behaviour_plan(families, **more | {"split": {"discovery": share}})
        assert not unreachable(mended, lambda *at: "demo.yaml")
        assert not faults_of(mended, lambda *at: "demo.yaml")


@pytest.mark.parametrize(
    "objects, ablation, expected",
    [
        (None, {"positions": "answer"}, None),
        (None, {"kind": "resample", "source": "pair"}, None),
        ("shared", {"kind": "resample", "source": "pair"}, "variants of a pair have the same prompt"),
        ("shared", {"kind": "resample", "source": "random"}, None),
        (None, {"select": {"by": "list", "features": {7: (1,)}}}, "layer 7 is not among those"),
        (None, {"select": {"by": "list", "features": {1: (1024,)}}}, "organism has no feature 1024"),
        (None, {"select": {"by": "list", "features": {1: (1023,)}}}, None),
        (None, {"select": {"by": "truth"}}, None),
        (None, {"select": {"by": "list", "features": {7: (1,)}}, "only": ("elsewhere",)}, None),
    ],
)  # fmt: skip
def test_an_ablation_that_cannot_be_made_here_is_a_fault(objects, ablation, expected):
    if objects == "shared":
        objects = [line | {"prompt": line["prompt"].split(". ")[1]} for line in family_lines(6)]
    whole = {"name": "top", "select": {"by": "attribution"}} | ablation
    plan = behaviour_plan(objects=objects, ablations=(whole,), readout={"at": "answer"})
    found = faults_of(plan, lambda *at: "/".join(map(str, at)))
    if expected is None:
        assert not found
    else:
        (fault,) = found
        assert expected in str(fault)
        assert str(fault).startswith("ablations/0")


def test_truth_is_asked_of_a_target_that_has_it():
    spec = behaviour_spec(
        targets={"gemma-2-2b": {}}, ablations=({"name": "top", "select": {"by": "truth"}},)
    )
    prompts, _ = complete("-", list(enumerate(family_lines(6), 1)), balanced=True)
    (fault,) = faults_of(make_plan(spec, load_targets()["gemma-2-2b"], prompts), lambda *at: "x")
    assert "gemma-2-2b has no known truth" in str(fault)


def test_a_contrast_of_one_discovering_family_is_refused():
    ablation = {"name": "a", "select": {"by": "contrast"}}
    few = {"split": {"discovery": 0.1}, "ablations": (ablation,)}
    (fault,) = faults_of(behaviour_plan(6, **few), lambda *at: "x")
    assert "one family discovers, and a contrast needs two" in str(fault)
    few["split"] = {"discovery": 0.3}
    assert not faults_of(behaviour_plan(6, **few), lambda *at: "x")


def test_where_no_layer_is_read_the_readout_is_of_nothing():
    """Both variants may then share their prompt: only behaviour is asked about."""
    shared = [line | {"prompt": line["prompt"].split(". ")[1]} for line in family_lines(6)]
    (fault,) = faults_of(behaviour_plan(objects=shared), lambda *at: "x")
    assert "every difference is zero by construction" in str(fault)
    blind = behaviour_plan(objects=shared, targets={"organism": {"layers": "none"}})
    assert not faults_of(blind, lambda *at: "x")


def test_a_transcoder_has_no_direction_in_what_it_reads():
    """Its encoder reads one space and its decoder writes another; other edits are of what it writes."""
    prompts, _ = complete("-", list(enumerate(family_lines(6), 1)), balanced=True)
    for hook, kind, wrong in [
        ("transcoder", "direction", True),
        ("transcoder", "zero", False),
        ("mlp_out", "direction", False),
    ]:
        ablation = {"name": "top", "select": {"by": "list", "features": {0: (1,)}}, "kind": kind}
        spec = behaviour_spec(ablations=(ablation,))
        target = replace(
            load_targets()["organism"], hook=hook, sae="lab/saes", files="{layer}/params.npz"
        )
        found = [
            str(one)
            for one in faults_of(
                make_plan(spec, target, prompts), lambda *at: "/".join(map(str, at))
            )
        ]
        assert bool(found) is wrong, found
        if wrong:
            assert found == [
                "ablations/0/kind: a transcoder writes in another space than it reads, and has no direction "
                "there to take out; use another kind, or SAEs of another hook"
            ]
