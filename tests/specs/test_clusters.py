"""Families that hang together: the split by strata, the independent number, and what a test can reach."""

import json
import math

import numpy as np
import pytest

from harness.errors import InputError
from harness.specs.clusters import counted, effective_number, grouping_tag
from harness.specs.contradictions import contradictions
from harness.specs.independence import clusterings, shared, undeclared
from harness.specs.plan_checks import faults_of, unreachable
from harness.specs.reach import never_together, smallest_p_values
from harness.specs.spec_file import load
from harness.specs.split import split
from harness.stats import effective_pairs
from tests.helpers.specs import (
    BEHAVIOUR_SPEC,
    behaviour_plan,
    behaviour_spec,
    family_lines,
    in_clusters,
)

SIZES = (1, 2, 3, 4, 5, 6, 7, 1, 3, 5, 7, 2, 6, 4, 1, 3)
MOVED = {"name": "moved", "behaviour": "logit_difference", "direction": "greater"}


def clustered(sizes, **changes):
    lines = in_clusters(family_lines(sum(sizes)), sizes)
    return behaviour_plan(objects=lines, **{"split": {"discovery": 0}} | changes)


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.7])
def test_each_stratum_and_all_together_are_split_as_evenly_as_whole_families_can_be(share):
    names = [f"f{i}" for i in range(sum(SIZES))]
    strata = dict(zip(names, np.repeat(np.arange(16), SIZES).astype(str).tolist(), strict=True))
    seen, odd = set(), set()
    for seed in range(200):
        spec = behaviour_spec(split={"discovery": share, "seed": seed})
        sides = split(names, spec, strata)
        assert split(names[::-1], spec, strata) == sides
        chosen = frozenset(name for name, side in sides.items() if side == "discovery")
        # The share of all is that of a split without strata, from above by less than one family.
        assert len(chosen) == math.ceil(share * len(names))
        for stratum, size in enumerate(SIZES):
            n = sum(strata[name] == str(stratum) for name in chosen)
            assert abs(n - share * size) < 1
        seen.add(chosen)
        odd.add(frozenset(strata[name] for name in chosen if strata[name] in ("0", "7", "14")))
    assert len(seen) == (200 if share else 1)
    if share:
        # A stratum of one family falls on either side.
        assert {"0"} <= set().union(*odd)
        assert any("0" not in chosen for chosen in odd)


def test_without_strata_the_split_is_the_one_that_it_was():
    names = [f"f{i}" for i in range(9)]
    sides = split(names, behaviour_spec(split={"seed": 7}))
    assert sides == split(names, behaviour_spec(split={"seed": 7}), dict.fromkeys(names, ""))
    assert {name for name, side in sides.items() if side == "discovery"} == {
        "f1", "f3", "f4", "f5", "f7",
    }  # fmt: skip


def test_a_plan_is_split_by_the_strata_of_its_prompts():
    plan = clustered((2, 4, 6), split={"strata": "principle"})
    principle = plan.clusters("principle")
    for size, name in ((1, "p00"), (2, "p01"), (3, "p02")):
        assert sum(principle[family] == name for family in plan.families("discovery")) == size


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_a_split_by_a_tag_keeps_each_of_its_values_on_one_side(share):
    seen = set()
    for seed in range(20):
        plan = clustered(SIZES, split={"by": "principle", "discovery": share, "seed": seed})
        principle = plan.clusters("principle")
        discovering = {principle[family] for family in plan.families("discovery")}
        assert not discovering & {principle[family] for family in plan.families("confirmation")}
        assert len(discovering) == math.ceil(share * len(SIZES))
        seen.add(frozenset(discovering))
    assert len(seen) > 15


def test_what_is_kept_whole_has_no_strata():
    spec = behaviour_spec(split={"by": "principle", "strata": "area"})
    ((path, what, _),) = contradictions(spec)
    assert (path, what) == (
        ("split", "strata"),
        "what is split is each principle, which has no strata",
    )


def test_features_selected_where_the_same_clusters_confirm_are_noted():
    fields = {
        "cluster": "principle",
        "claims": ({"name": "matters", "ablation": "top", "within": 1.0},),
        "ablations": ({"name": "top", "select": {"by": "contrast"}},),
    }
    plan = clustered((4, 4, 4, 1), **fields | {"split": {"strata": "principle"}})
    (note,) = shared(plan)
    n = len({plan.clusters("principle")[family] for family in plan.families("confirmation")})
    assert note == (
        f"demo: top selects features on families of 3 of the {n} principles that confirm, so what is shown of "
        "them holds for these principles; `split: {by: principle}` selects on others"
    )
    assert not shared(clustered((4, 4, 4, 1), **fields | {"split": {"by": "principle"}}))
    listed = {"ablations": ({"name": "top", "select": {"by": "list", "features": {1: (3,)}}},)}
    assert not shared(
        clustered((4, 4, 4, 1), **fields | listed | {"split": {"strata": "principle"}})
    )
    by_family = fields | {"cluster": "family", "split": {"strata": "principle"}}
    assert not shared(clustered((4, 4, 4, 1), **by_family))


@pytest.mark.parametrize(
    "changes, asked",
    [
        ({"split": {"by": "principle"}}, "`split: {by: ...}`"),
        ({"split": {"strata": "principle"}}, "`split: {strata: ...}`"),
        ({"cluster": "principle"}, "`cluster`"),
        ({"claims": ({**MOVED, "cluster": "principle"},)}, "`cluster`"),
    ],
)
def test_a_tag_that_a_line_lacks_or_a_family_has_twice_is_said_with_its_line(changes, asked):
    lines = in_clusters(family_lines(4), (2, 2))
    del lines[5]["tags"]
    lines[8]["tags"] = {"principle": "other"}
    with pytest.raises(InputError) as error:
        behaviour_plan(objects=lines, **changes)
    lacks, differs = error.value.faults
    assert (lacks.where, differs.where) == ("-:6", "-:10")
    assert lacks.what == f"{asked} needs a tag 'principle' on every line, and families lack it: f1"
    assert differs.what == "family 'f2' has the principle 'other' on line 9 and 'p01' here"


def test_a_claim_on_another_file_needs_the_tag_there(tmp_path):
    def write(name, lines):
        (tmp_path / name).write_text("\n".join(map(json.dumps, lines)))

    ablation = "ablations: [{name: top, select: {top: 2, by: contrast}, controls: 19}]\n"
    claim = "  - {name: spares, collateral: top, prompts: other.jsonl, within: 1.0}\n"
    path = tmp_path / "demo.yaml"
    path.write_text(BEHAVIOUR_SPEC + claim + ablation + "cluster: principle\n")
    write("prompts.jsonl", in_clusters(family_lines(14), (2,) * 7))
    write("other.jsonl", family_lines(7))
    with pytest.raises(InputError, match=r"other\.jsonl:1: `cluster` needs a tag 'principle'"):
        load(path).plan()
    write("other.jsonl", in_clusters(family_lines(7), (1, 2, 1, 1, 1, 1)))
    assert smallest_p_values(load(path).plan())["spares"] == 2.0**-5
    write("other.jsonl", family_lines(7))
    path.write_text(path.read_text().replace("within: 1.0", "within: 1.0, cluster: family"))
    plan = load(path).plan()
    assert smallest_p_values(plan)["spares"] == 2.0**-6
    assert [one.clusters for one in clusterings(plan)] == [
        len({plan.clusters("principle")[family] for family in plan.families("confirmation")})
    ]


def test_the_number_of_independent_families_is_that_of_the_variance_of_their_mean():
    for sizes in ((1,), (1, 1, 1), (7, 1, 3), SIZES):
        n = sum(sizes)
        for rho in (0.0, 0.3, 0.73, 1.0):
            cluster = np.repeat(np.arange(len(sizes)), sizes)
            total = 0.0
            for i in range(n):
                for j in range(n):
                    total += 1.0 if i == j else rho if cluster[i] == cluster[j] else 0.0
            assert effective_number(sizes, rho) == pytest.approx(n**2 / total)
    assert effective_number((5,) * 8, 0.4) == pytest.approx(effective_pairs(40, 5, 0.4))
    assert effective_number((), 0.5) == 0


def test_a_design_says_what_its_confirming_families_are_worth():
    plan = clustered((1, 2, 3, 4), cluster="principle", split={"discovery": 0, "correlation": 0.5})
    (found,) = clusterings(plan)
    assert (found.families, found.clusters) == (10, 4)
    assert found.effective == pytest.approx(100 / (1 + 2 * 1.5 + 3 * 2 + 4 * 2.5))
    assert str(found) == (
        "principle: 10 families of 4 principles confirm, worth 5 independent ones at a correlation of 0.5"
    )
    assert not undeclared(plan)


def test_a_grouping_that_is_not_declared_is_noted():
    (note,) = undeclared(clustered((1, 2, 3, 4)))
    assert note == (
        "demo: 10 families of 4 principles confirm and count as independent; if two of a principle correlate "
        "by 0.7 they are worth 4.17; `cluster: principle` makes principles the units of every test"
    )
    assert not undeclared(clustered((1,) * 6))
    assert not undeclared(behaviour_plan())
    # A spec that clusters one of its claims knows of it.
    assert not undeclared(clustered((2, 4), claims=({**MOVED, "cluster": "principle"},)))


def test_a_tag_groups_families_where_each_has_one_value_of_several():
    plan = clustered((2, 2, 2))
    assert grouping_tag(plan.prompts) == "principle"
    lines = in_clusters(family_lines(6), (2, 2, 2), "area")
    assert grouping_tag(behaviour_plan(objects=lines).prompts) == "area"
    # More values say more of what hangs together, but for the tag that is meant for it.
    finer = in_clusters(lines, (1, 1, 2, 2), "scene")
    assert grouping_tag(behaviour_plan(objects=finer).prompts) == "scene"
    both = in_clusters(finer, (3, 3))
    assert grouping_tag(behaviour_plan(objects=both).prompts) == "principle"
    for sizes in ((6,), (1,) * 6):  # one value groups nothing, and neither does one a family
        assert not grouping_tag(behaviour_plan(objects=in_clusters(family_lines(6), sizes)).prompts)
    lines[0]["tags"] = {"area": "p01"}
    assert not grouping_tag(behaviour_plan(objects=lines).prompts)


def test_a_claim_reaches_what_its_clusters_can():
    claims = (MOVED, {**MOVED, "name": "by-family", "cluster": "family"})
    plan = clustered((2,) * 7, cluster="principle", claims=claims)
    assert smallest_p_values(plan) == {"moved": 2.0**-6, "by-family": 2.0**-13}
    few = clustered((9, 9, 1, 1, 1), cluster="principle", claims=claims)
    (fault,) = unreachable(few, lambda *at: "/".join(map(str, at)))
    assert fault.where == "claims/0"
    assert (
        fault.what
        == "claim 'moved' cannot reach alpha 0.05: 5 principles can give no p below 0.0625"
    )
    assert fault.remedy == (
        "it needs 6 principles on the confirming side; add families of other principles"
    )


def test_claims_that_clusters_cannot_all_reach_are_refused_with_how_many_can():
    claims = tuple({**MOVED, "name": name} for name in "abc")
    found = never_together(clustered((3,) * 6, cluster="principle", claims=claims))
    assert found
    assert "a has p_holm 0.0938 at best (from p 0.0312)" in found[0]
    assert found[1].startswith("it needs 7 principles on the confirming side; add families")
    assert not never_together(clustered((3,) * 7, cluster="principle", claims=claims))
    assert not never_together(clustered((3,) * 6, claims=claims))


def test_a_contrast_of_clusters_needs_two_that_discover():
    lines = in_clusters(family_lines(8), (8,))
    fields = {
        "claims": ({"name": "matters", "ablation": "top", "within": 1.0},),
        "ablations": ({"name": "top", "select": {"by": "contrast"}},),
    }
    plan = behaviour_plan(objects=lines, cluster="principle", **fields)
    (fault,) = faults_of(plan, lambda *at: "x")
    assert fault.what == "one principle discovers, and a contrast needs two"
    assert not faults_of(behaviour_plan(objects=lines, **fields), lambda *at: "x")


def test_no_hash_of_a_spec_that_says_none_of_it_changes():
    plain = behaviour_spec()
    for key in ("cluster", "strata", "correlation"):
        assert key not in plain.canonical()
    assert behaviour_spec(cluster="family").hash == plain.hash
    said = [
        behaviour_spec(cluster="principle"),
        behaviour_spec(split={"strata": "principle"}),
        behaviour_spec(split={"correlation": 0.1}),
        behaviour_spec(claims=({**MOVED, "cluster": "principle"},)),
    ]
    assert len({one.hash for one in said} | {plain.hash}) == 5


def test_clusters_are_counted_in_words():
    assert [counted(n, tag) for n, tag in ((1, "family"), (2, "family"), (3, "principle"))] == [
        "1 family", "2 families", "3 principles",
    ]  # fmt: skip
    assert counted(2, "essay") == "2 essays"
