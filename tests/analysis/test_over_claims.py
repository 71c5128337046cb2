"""Claims beside each other: by Holm, in a fixed order, or left as they are for a reason."""

from dataclasses import replace

import pytest
from statsmodels.stats.multitest import multipletests

from harness.analysis.over_claims import over_claims
from harness.analysis.verdict import Verdict
from harness.errors import InputError
from harness.specs.spec_file import load
from tests.helpers.specs import behaviour_spec


def found(*drawn):
    return [
        Verdict(f"c{i}", "behaviour", "nats", verdict, "12 families", p=p)
        for i, (verdict, p) in enumerate(drawn)
    ]


def judged(*drawn, **fields):
    return over_claims(found(*drawn), behaviour_spec(**fields))


@pytest.mark.parametrize("p", [(0.01, 0.02, 0.03), (0.04, 0.001, 0.2), (0.013, 0.0125, 0.9, 0.02)])
def test_the_corrected_p_is_holm_s(p):
    wanted = multipletests(p, method="holm")[1]
    after = judged(*(("supported" if one <= 0.05 else "inconclusive", one) for one in p))
    assert [one.p_holm for one in after] == pytest.approx(list(wanted))
    assert [one.verdict for one in after] == [
        "supported" if corrected <= 0.05 else "inconclusive" for corrected in wanted
    ]
    assert [one.p for one in after] == list(p)


def test_one_that_is_lost_says_so():
    (first, second) = judged(("supported", 0.03), ("refuted", 0.04))
    assert first.verdict == second.verdict == "inconclusive"
    assert first.because == "12 families; over 2 claims p_holm 0.06"
    (alone,) = judged(("supported", 0.03))
    assert (alone.verdict, alone.p_holm, alone.because) == ("supported", 0.03, "12 families")


def test_guards_and_what_cannot_be_tested_do_not_count():
    after = judged(("supported", 0.04), ("held", 0.5), ("broken", 0.001), ("untestable", None))
    assert [one.verdict for one in after] == ["supported", "held", "broken", "untestable"]
    assert [one.p_holm for one in after] == [0.04, None, None, None]


def test_in_a_fixed_order_nothing_is_reached_behind_a_claim_that_is_not_supported():
    drawn = (("supported", 0.04), ("held", 0.5), ("inconclusive", 0.3), ("supported", 0.001))
    after = judged(*drawn, order="fixed-sequence")
    assert [one.verdict for one in after] == ["supported", "held", "inconclusive", "inconclusive"]
    assert after[3].because == "12 families; not reached: c2 comes before it and is not supported"
    assert judged(*drawn[:2], order="fixed-sequence")[0].verdict == "supported"


def test_a_reason_to_leave_it_out_is_shown():
    after = judged(("supported", 0.04), ("supported", 0.04), unadjusted="each is read alone")
    assert {one.verdict for one in after} == {"supported"}
    assert after[0].because == "12 families; not corrected over claims: each is read alone"
    assert after[0].p_holm is None


def test_the_hash_of_a_spec_without_the_new_keys_is_what_it_was():
    spec = behaviour_spec()
    assert spec.hash == behaviour_spec(order="holm").hash
    assert spec.hash != behaviour_spec(order="fixed-sequence").hash
    assert "guard" not in spec.canonical()


def test_that_nothing_was_called_is_no_claim(tmp_path, root):
    text = (root / "evals" / "placebo.yaml").read_text()
    path = tmp_path / "placebo.yaml"
    path.write_text(text.replace(", guard: true", ""))
    with pytest.raises(InputError, match="that no more were called does not show") as raised:
        load(path)
    assert "write `guard: true`" in str(raised.value)
    path.write_text(text.replace("at_most: 0, guard", "at_least: 1, guard"))
    with pytest.raises(InputError, match="a guard keeps watch"):
        load(path)


def test_a_guard_stands_where_it_is_held():
    one = found(("held", 0.5))[0]
    assert one.stands
    assert replace(one, verdict="supported").stands
    assert not replace(one, verdict="broken").stands
    assert not replace(one, verdict="inconclusive").stands
