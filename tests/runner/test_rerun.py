"""A run repeated from the store alone."""

from pathlib import Path

import pytest

from harness.runner.rerun import REASONS, UNEXPLAINED, Repeated
from harness.store.agreement import TableAgreement, compare_facts, compare_tables
from harness.store.database import Store
from harness.store.find_run import find_run
from harness.store.tables.runs import Runs
from tests.helpers.cli import invoke
from tests.helpers.runs import compared
from tests.helpers.store import changed_copy, query, rows_of


@pytest.fixture(scope="module")
def repeated(two_dtypes, tmp_path_factory):
    """A copy of the store in which the first run is repeated, its files gone; and what was said."""
    db, first, _ = two_dtypes
    folder = tmp_path_factory.mktemp("repeated")
    copy = changed_copy(
        db,
        folder,
        "UPDATE runs SET exploratory = 'the spec changed since run x' WHERE dtype = 'bfloat16'",
        f"UPDATE verdicts SET exploratory = true WHERE run_id <> '{first}'",
    )
    ((spec, prompts),) = query(db, "SELECT spec_path, prompts_path FROM runs WHERE run_id = $r", r=first)  # fmt: skip
    assert not Path(spec).exists()
    assert not Path(prompts).exists()
    found = invoke("rerun", first, "--device", "cpu", "--db", copy)
    assert found.exit_code == 0, found.output
    known = {first, two_dtypes[2]}
    ((again,),) = [row for row in query(copy, "SELECT run_id FROM runs") if row[0] not in known]
    return copy, first, again, found.output


def test_a_run_repeated_from_the_store_alone_agrees_to_the_last_bit(repeated):
    db, first, again, said = repeated
    assert "every table agrees, to the last bit." in said
    assert f"{first}, and again as {again}:" in said
    found = agreement(db, first, again)
    assert all(one.agrees and not one.largest for one in found.values())
    there = {name for name, rows in rows_of(db, first).items() if rows} - {"runs"}
    assert set(found) == there
    for name in there:
        assert found[name].rows_a == found[name].rows_b == len(rows_of(db, first)[name])
    with Store.open_to_read(db) as store:
        assert compare_facts(find_run(store, first), find_run(store, again)) == {}
        assert find_run(store, again)["exploratory"] is None


def test_what_neither_run_has_is_the_same():
    a, b = ({name: float("nan") for name in Runs.names()} for _ in range(2))
    assert compare_facts(a, b) == {}
    assert compare_facts(a, b | {"noise_floor": 0.5}) == {"noise_floor": (None, 0.5)}


def test_a_run_and_its_repetition_compare_as_no_difference(repeated):
    db, first, again, _ = repeated
    found = compared(db, first, again)
    assert len(found.rows) == 7 + 2 * 6
    for row in found.rows:
        assert (row.difference, row.ci_low, row.ci_high) == (0, 0, 0)
        assert (row.p, row.p_adjusted, row.d_z) == (1, 1, None)
    assert found.same_text == 1
    assert all(a == b for a, b in found.verdicts.values())


def test_a_store_that_says_otherwise_is_told_on_and_the_exploratory_mark_is_kept(repeated, two_dtypes, tmp_path):  # fmt: skip
    """Of the run in bfloat16: the dtype is the other one's, not the target's."""
    db, second = repeated[0], two_dtypes[2]
    at = f"WHERE run_id = '{second}'"
    copy = changed_copy(db, tmp_path, f"UPDATE generations SET decoded_answer = 'x' {at} AND rowid = (SELECT min(rowid) FROM generations {at})")  # fmt: skip
    before = rows_of(copy, second)
    found = invoke("rerun", second, "--device", "cpu", "--db", copy)
    assert found.exit_code == 1, found.output
    assert "the tables do not agree: generations." in found.output
    assert "1 not the same" in found.output
    assert "nothing that is recorded of the runs differs" in " ".join(found.output.split())
    assert rows_of(copy, second) == before
    ((dtype, mark, status),) = query(
        copy, "SELECT dtype, exploratory, status FROM runs ORDER BY created_at DESC LIMIT 1"
    )
    assert (dtype, mark, status) == ("bfloat16", "the spec changed since run x", "finished")
    assert query(
        copy,
        "SELECT DISTINCT exploratory FROM verdicts WHERE run_id = "
        "(SELECT run_id FROM runs ORDER BY created_at DESC LIMIT 1)",
    ) == [(True,)]


def test_why_runs_do_not_agree_is_what_is_recorded_of_both_and_not_the_same():
    apart = (TableAgreement("impacts", 2, 2, 1, 1, {"impact": 1e-6}),)
    facts = {
        "device": ("H100", "A100"),
        "git_commit": ("a", "b"),
        "accelerator": ("CUDA 12", "CUDA 13"),
    }
    assert Repeated("a", None, apart, facts).reasons == (REASONS["device"], REASONS["accelerator"])
    assert Repeated("a", None, apart, {"git_commit": ("a", "b")}).reasons == (UNEXPLAINED,)
    same = (TableAgreement("impacts", 2, 2, 0, 0),)
    assert Repeated("a", None, same, facts).reasons == ()
    assert REASONS.keys() <= set(Runs.names())


@pytest.mark.parametrize(
    "statement, said",
    [
        ("UPDATE runs SET status = 'unfinished'", "it is not finished"),
        ("UPDATE runs SET spec = '{}'", "its spec is not one that this harness reads"),
        ("UPDATE runs SET spec = 'x'", "its spec is not one that this harness reads"),
        ("UPDATE runs SET spec_hash = 'x'", "this harness reads its spec otherwise"),
        ("UPDATE prompts SET prompt = 'x' WHERE line = 1", "this harness reads its prompts otherwise"),
        ("UPDATE runs SET target = 'moon', spec = replace(spec, '\"organism\"', '\"moon\"')", "moon"),
    ],
)  # fmt: skip
def test_what_cannot_be_repeated_is_refused_and_nothing_is_begun(
    two_dtypes, tmp_path, statement, said
):
    copy = changed_copy(two_dtypes[0], tmp_path, statement)
    found = invoke("rerun", two_dtypes[1], "--device", "cpu", "--db", copy)
    assert found.exit_code == 2, found.output
    assert said in found.stderr
    assert found.stderr.count("\n") == 1
    assert query(copy, "SELECT count(*) FROM runs") == [(2,)]


def test_what_is_stored_otherwise_is_named_with_its_count_and_size(repeated, tmp_path):
    db, first, again, _ = repeated
    at = f"WHERE run_id = '{again}'"
    copy = changed_copy(
        db,
        tmp_path,
        f"UPDATE answers SET logprob = logprob - 0.25 {at} AND rowid = (SELECT min(rowid) FROM answers {at})",
        f"UPDATE impacts SET edited = edited + 0.5, impact = impact + 0.5 {at} AND metric = 'kl'",
        f"UPDATE impacts SET impact = impact - 3 {at} AND rowid = (SELECT max(rowid) FROM impacts {at})",
        f"DELETE FROM prompt_tags {at} AND tag = 'quantity'",
        f"UPDATE units SET seconds = 9, finished_at = now() {at}",
    )  # fmt: skip
    found = agreement(copy, first, again)
    differ = {name: one for name, one in found.items() if not one.agrees}
    assert set(differ) == {"answers", "impacts", "prompt_tags"}
    answers, impacts, tags = (differ[name] for name in ("answers", "impacts", "prompt_tags"))
    assert (answers.only_a, answers.only_b) == (1, 1)
    assert answers.largest == {"logprob": pytest.approx(0.25)}
    kl = len(query(copy, "FROM impacts WHERE run_id = $r AND metric = 'kl'", r=first))
    assert impacts.only_a == impacts.only_b
    assert impacts.only_a in (kl, kl + 1)  # the last row may be one of them
    assert impacts.largest["edited"] == pytest.approx(0.5)
    assert impacts.largest["impact"] == pytest.approx(3, abs=0.51)
    assert set(impacts.largest) == {"edited", "impact"}
    gone = len(query(copy, "FROM prompt_tags WHERE run_id = $r AND tag = 'quantity'", r=first))
    assert (tags.only_a, tags.only_b, tags.largest) == (gone, 0, {})
    assert tags.rows_a - tags.rows_b == gone


def agreement(db, a, b):
    with Store.open_to_read(db) as store:
        return {one.table: one for one in compare_tables(store, a, b)}


def test_every_table_but_runs_is_told_apart(two_dtypes):
    """A table that `row_digests` forgot would agree whatever it holds."""
    db, a, b = two_dtypes
    there = {name for name, rows in rows_of(db, a).items() if rows} - {"runs"}
    found = agreement(db, a, b)
    assert set(found) == there
    assert not found["answers"].agrees
    assert found["prompts"].agrees
