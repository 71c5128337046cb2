"""Claims about what a set leaves out, and about each of its members: what belongs together, words, hashes, work."""

import json

import pytest

from harness.specs.ablations import Ablation
from harness.specs.claims import in_words
from harness.specs.contradictions import contradictions
from harness.specs.reach import smallest_p_values
from harness.specs.workload import replays_of, workload
from tests.helpers.specs import behaviour_plan, behaviour_spec

LISTED = {"by": "list", "features": {0: (1, 2, 3)}}
SWAP = {"name": "swap", "select": LISTED, "kind": "resample", "source": "pair"}
BOTH = {"complement": True, "leave_one_out": True}
REST = {"name": "rest", "complement": "swap", "within_share": 0.2}
NEEDED = {"name": "each", "needed": "swap", "direction": "toward-correct"}


def problems(ablation, claim=None):
    claims = {} if claim is None else {"claims": (claim,)}
    return contradictions(
        behaviour_spec(targets={"organism": {"layers": "all"}}, ablations=(ablation,), **claims)
    )


@pytest.mark.parametrize("claim", [REST, NEEDED, REST | {"where": {"quantity": "rate"}}])
def test_they_are_made_of_an_ablation_that_has_these_edits(claim):
    assert not problems(SWAP | BOTH, claim)


@pytest.mark.parametrize(
    "ablation, claim, key, what, remedy",
    [
        (SWAP, REST, "complement", "no edit of all that it leaves out", "`complement: true`"),
        (
            {"name": "swap", "select": LISTED}, REST, "complement", "no edit of all that it leaves out",
            "`kind: resample`, `source: pair`, `complement: true`",
        ),
        (SWAP, NEEDED, "needed", "no edits that leave out one feature", "`leave_one_out: true`"),
        (SWAP | BOTH, REST | {"within": 1.0}, "complement", "no margin, or two", "within or within_share"),
        (
            SWAP | BOTH, {k: v for k, v in REST.items() if k != "within_share"}, "complement",
            "no margin, or two", "give within or within_share",
        ),
        (SWAP | BOTH, REST | {"metric": "kl"}, "metric", "kl only grows", "claim `within`"),
        (SWAP | BOTH, REST | {"metric": "mass"}, "metric", "moves toward neither", "claim `within`"),
        (SWAP | BOTH, NEEDED | {"metric": "mass"}, "metric", "moves toward neither", "tells them apart"),
        (SWAP | BOTH, REST | {"complement": "swop"}, "complement", "there is no ablation 'swop'", "swap"),
    ],
)  # fmt: skip
def test_a_claim_that_cannot_be_tested_is_refused(ablation, claim, key, what, remedy):
    ((path, said, instead),) = problems(ablation, claim)
    assert path == ("claims", 0, key)
    assert what in said
    assert remedy in instead


@pytest.mark.parametrize(
    "ablation, key, what",
    [
        (SWAP | {"source": "random", "complement": True}, "complement", "only from its own pair"),
        ({"name": "swap", "select": LISTED, "complement": True}, "complement", "only from its own pair"),
        (
            SWAP | {"select": {"by": "list", "features": {0: (1,)}}, "leave_one_out": True},
            "leave_one_out", "a set of one feature",
        ),
    ],
)  # fmt: skip
def test_an_ablation_that_cannot_have_them_is_refused(ablation, key, what):
    ((path, said, _),) = problems(ablation)
    assert path == ("ablations", 0, key)
    assert what in said


def test_kl_of_the_rest_may_be_claimed_within_a_margin():
    claim = {"name": "rest", "complement": "swap", "within": 0.1, "metric": "kl"}
    assert not problems(SWAP | BOTH, claim)


def test_what_an_ablation_does_not_ask_for_is_in_no_hash():
    plain = Ablation.model_validate(SWAP).model_dump(by_alias=True)
    assert not {"complement", "leave_one_out"} & {*plain}
    asked = Ablation.model_validate(SWAP | BOTH).model_dump(by_alias=True)
    assert asked == plain | BOTH
    (claim,) = behaviour_spec(ablations=(SWAP | BOTH,), claims=(REST,)).claims
    said = json.loads(claim.model_dump_json())
    assert {key: said[key] for key in REST} == REST
    assert "metric" not in said


@pytest.mark.parametrize(
    "claim, words",
    [
        (REST, "what ablation swap leaves out moves the answers by at most 20% of what the variants differ by"),
        (
            {"name": "rest", "complement": "swap", "within": 0.5, "metric": "log_p_correct"},
            "what ablation swap leaves out moves the answers by at most 0.5 nats, in log p(right answer)",
        ),
        (
            NEEDED | {"where": {"quantity": "rate"}},
            "ablation swap moves the answers toward the right answer, and further than it does without any one "
            "of its features, where quantity is rate",
        ),
    ],
)  # fmt: skip
def test_they_are_said_in_words(claim, words):
    (made,) = behaviour_spec(claims=(claim,)).claims
    assert in_words(made) == words


def test_a_claim_of_the_rest_is_one_sided_and_one_of_members_is_not():
    plan = behaviour_plan(
        8, split={"discovery": 0}, ablations=(SWAP | BOTH,), claims=(REST, NEEDED)
    )
    assert smallest_p_values(plan) == {"rest": 2**-8, "each": 2**-7}


def test_they_cost_a_replay_a_member_and_one_with_forwards_of_its_own():
    def work(**asked):
        plan = behaviour_plan(8, split={"discovery": 0}, ablations=(SWAP | asked,))
        (found,) = (one for one in workload(plan) if one.stage == "ablate")
        return found

    plain, rest, each = work(), work(complement=True), work(leave_one_out=True)
    assert (rest.replays - plain.replays, each.replays - plain.replays) == (1, 3)
    assert (plain.whole, rest.whole, each.whole) == (False, True, False)
    a_replay = (each.tokens - plain.tokens) / 3
    assert rest.tokens - plain.tokens > 2 * a_replay  # its prompts and their sources pass as well
    alone = SWAP | {"select": {"by": "list", "features": {0: (1,)}}}
    assert replays_of(Ablation.model_validate(alone)) == 3 + 99
