"""Two stored runs held against each other, and a run repeated from the store alone."""

import json
import re
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest

from harness.analysis.comparison import compare
from harness.errors import InputError
from harness.stats.effects import effects
from harness.stats.intervals import mean_interval
from harness.stats.max_t import paired_max_t
from harness.store.agreement import compare_facts, compare_tables
from harness.store.database import Store
from harness.store.find_run import find_run
from tests.test_export import a_run, a_spec, call, query, rows_of


@pytest.fixture(scope="module")
def stored(tmp_path_factory, root):
    """One spec in float32 and in bfloat16, and the files that it was read from."""
    folder = tmp_path_factory.mktemp("compare")
    db, spec = folder / "r.duckdb", a_spec(folder, root)
    return db, a_run(spec, db), a_run(spec, db, dtype="bfloat16")


def compared(db, a, b):
    with Store.open_to_read(db) as store:
        return compare(store, find_run(store, a), find_run(store, b))


def agreement(db, a, b):
    with Store.open_to_read(db) as store:
        return {one.table: one for one in compare_tables(store, a, b)}


def changed(db, tmp_path, *statements):
    """A copy of a results file, changed behind the harness' back."""
    copy = Path(shutil.copy(db, tmp_path / "copy.duckdb"))
    with duckdb.connect(str(copy)) as connection:
        for sql in statements:
            connection.execute(sql)
    return copy


def check_rows(rows, about, quantities, a, b, families):
    """Estimates, intervals and p are those of `harness.stats` on these arrays."""
    mine = [row for row in rows if row.about == about]
    assert [row.quantity for row in mine] == list(quantities)
    interval, size = mean_interval(b - a, families), effects(b, a, families)
    test = paired_max_t(b, a, families, statistic="mean")
    for i, row in enumerate(mine):
        assert (row.n_prompts, row.n_units) == (len(a), len(set(families)))
        told = (row.a, row.b, row.difference, row.ci_low, row.ci_high, row.p, row.p_adjusted)
        assert told == pytest.approx(
            (
                a[:, i].mean(), b[:, i].mean(), (b - a)[:, i].mean(), interval.low[i],
                interval.high[i], test.p_marginal[i], test.p_adjusted[i],
            ),
            abs=1e-9,
        )  # fmt: skip
        if np.isnan(size.d_z[i]):
            assert row.d_z is None
        else:
            assert row.d_z == pytest.approx(size.d_z[i], rel=1e-6)


LOG_P = """
    SELECT p.prompt_id, p.pair_id, p.label, p.family,
        sum(logprob) FILTER (candidate = 'correct') AS c,
        sum(logprob) FILTER (candidate = 'misconception') AS m
    FROM answers JOIN prompts p USING (run_id, prompt_id) WHERE run_id = $r GROUP BY ALL
    ORDER BY p.prompt_id
"""
BEHAVIOUR = ("logit_difference", "log_p_correct", "log_p_misconception")


def test_behaviour_is_compared_as_the_statistics_say(stored):
    db, a, b = stored
    found = compared(db, a, b)
    sides = [query(db, LOG_P, r=run) for run in (a, b)]
    values = [np.array([[c - m, c, m, c > m] for *_, c, m in side], dtype=float) for side in sides]
    families = [row[3] for row in sides[0]]
    assert len(set(families)) == 6
    assert abs(values[0] - values[1]).max() > 1e-3
    check_rows(found.rows, "behaviour", (*BEHAVIOUR, "right"), *values, families)
    units = [row.unit for row in found.rows if row.about == "behaviour"]
    assert units == ["nats", "nats", "nats", "share"]
    pairs = sorted({row[1]: row[3] for row in sides[0]}.items())
    place = {(row[1], row[2]): i for i, row in enumerate(sides[0])}
    contrasts = [
        np.array([side[place[p, "correct"], :3] - side[place[p, "misconception"], :3] for p, _ in pairs])
        for side in values
    ]  # fmt: skip
    check_rows(found.rows, "between variants", BEHAVIOUR, *contrasts, [f for _, f in pairs])


@pytest.mark.parametrize("ablation", ["top", "one"])
def test_impacts_of_the_same_ablation_are_compared_prompt_by_prompt(stored, ablation):
    db, a, b = stored
    found = compared(db, a, b).rows
    sides = []
    for run in (a, b):
        rows = query(
            db,
            "SELECT m.prompt_id, p.family, m.metric, m.impact FROM impacts m "
            "JOIN prompts p USING (run_id, prompt_id) WHERE run_id = $r AND intervention_id IN "
            "(SELECT intervention_id FROM interventions WHERE run_id = $r AND ablation = $a AND role = 'target') "
            "ORDER BY m.prompt_id",
            r=run,
            a=ablation,
        )  # fmt: skip
        sides.append({(prompt, metric): impact for prompt, _, metric, impact in rows})
        families = {prompt: family for prompt, family, _, _ in rows}
    metrics = [row.quantity for row in found if row.about == f"ablation {ablation}"]
    assert set(metrics) == {metric for _, metric in sides[0]}
    assert len(metrics) == 5
    x, y = (np.array([[side[p, m] for m in metrics] for p in sorted(families)]) for side in sides)
    check_rows(found, f"ablation {ablation}", metrics, x, y, [families[p] for p in sorted(families)])  # fmt: skip
    told = {row.quantity: row.unit for row in found if row.about == f"ablation {ablation}"}
    assert told["top1_flips"] == "flips"
    assert told["kl"] == "nats"


def test_other_edits_of_one_name_are_not_compared(stored, tmp_path):
    db, a, b = stored
    spec = 'replace(spec, \'"kind":"zero"\', \'"kind":"scale"\')'
    copy = changed(db, tmp_path, f"UPDATE runs SET spec = {spec} WHERE run_id = '{b}'")
    found = compared(copy, a, b)
    assert "ablation top" not in {row.about for row in found.rows}
    assert "ablation top" in {row.about for row in compared(db, a, b).rows}
    assert "ablation top is not the same edit: kind zero against scale" in found.left_out
    said = call("compare", a, b, "--db", copy).output
    assert "ablation top is not the same edit: kind zero against scale; not compared" in said


def test_a_mock_s_verdict_is_told_as_one(stored, tmp_path):
    db, a, b = stored
    copy = changed(db, tmp_path, f"UPDATE runs SET origin = 'mock' WHERE run_id = '{b}'")
    assert "mock: " in call("compare", a, b, "--db", copy).output
    assert "mock: " in call("show", b, "--db", copy).output
    told = call("show", a, "--db", copy).output
    assert "mock: " not in told
    assert not re.search(r"\bnan\b", told)  # what has no value is empty


def test_texts_and_verdicts_of_both_are_told(stored):
    db, a, b = stored
    found = compared(db, a, b)
    verdicts = [dict(query(db, "SELECT claim, verdict FROM verdicts WHERE run_id = $r", r=run)) for run in (a, b)]  # fmt: skip
    assert found.verdicts == {claim: (verdicts[0][claim], verdicts[1][claim]) for claim in verdicts[0]}  # fmt: skip
    said = [
        query(db, "SELECT decoded_answer FROM generations WHERE run_id = $r ORDER BY prompt_id", r=run)
        for run in (a, b)
    ]  # fmt: skip
    same = sum(one == two for one, two in zip(*said, strict=True)) / len(said[0])
    assert found.same_text == same
    found = call("compare", a, b, "--json", "--db", db)
    told = json.loads(found.stdout)
    assert (told["a"], told["b"], told["same_text"]) == (a, b, same)
    found = call("compare", a, b, "--db", db)
    assert found.exit_code == 0
    assert "bfloat16" in found.output


@pytest.mark.parametrize(
    "statement, said",
    [
        ("UPDATE prompts SET prompt = prompt || '!' WHERE run_id = '{b}' AND prompt_id = '{p}'",
         ["prompts that are not the same: {p}"]),
        ("UPDATE prompts SET correct = 'else' WHERE run_id = '{b}' AND pair_id = '{pair}'",
         ["prompts that are not the same: {pair}"]),
        ("UPDATE prompts SET family = 'else' WHERE run_id = '{b}' AND pair_id = '{pair}'",
         ["prompts that are not the same: {pair}"]),
        ("DELETE FROM prompts WHERE run_id = '{b}' AND prompt_id = '{p}'",
         ["run {a}: only it has 1 of the prompts: {p}"]),
        ("UPDATE prompts SET prompt_id = 'new' WHERE run_id = '{b}' AND prompt_id = '{p}'",
         ["run {a}: only it has 1 of the prompts: {p}", "run {b}: only it has 1 of the prompts: new"]),
    ],
)  # fmt: skip
def test_other_prompts_are_refused_by_name(stored, tmp_path, statement, said):
    db, a, b = stored
    (p, pair), *_ = query(db, "SELECT prompt_id, pair_id FROM prompts WHERE run_id = $r", r=b)
    names = {"a": a, "b": b, "p": p, "pair": pair}
    copy = changed(db, tmp_path, statement.format(**names))
    with pytest.raises(InputError, match="runs are compared on the same prompts") as refused:
        compared(copy, a, b)
    told = [str(fault) for fault in refused.value.faults]
    assert len(told) == len(said)
    for line, part in zip(told, said, strict=True):
        assert part.format(**names) in line


def test_a_run_is_not_compared_with_itself(stored):
    found = call("compare", stored[1], stored[1], "--db", stored[0])
    assert (found.exit_code, found.stderr) == (2, f"error: run {stored[1]}: it is both; name two runs\n")  # fmt: skip


@pytest.fixture(scope="module")
def repeated(stored, tmp_path_factory):
    """A copy of the store in which the first run is repeated, its files gone; and what was said."""
    db, first, _ = stored
    folder = tmp_path_factory.mktemp("repeated")
    copy = changed(
        db,
        folder,
        "UPDATE runs SET exploratory = 'the spec changed since run x' WHERE dtype = 'bfloat16'",
        f"UPDATE verdicts SET exploratory = true WHERE run_id <> '{first}'",
    )
    ((spec, prompts),) = query(db, "SELECT spec_path, prompts_path FROM runs WHERE run_id = $r", r=first)  # fmt: skip
    for path in (spec, prompts):
        Path(path).unlink()
    found = call("rerun", first, "--device", "cpu", "--db", copy)
    assert found.exit_code == 0, found.output
    known = {first, stored[2]}
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


def test_a_run_and_its_repetition_compare_as_no_difference(repeated):
    db, first, again, _ = repeated
    found = compared(db, first, again)
    assert len(found.rows) == 7 + 2 * 5
    for row in found.rows:
        assert (row.difference, row.ci_low, row.ci_high) == (0, 0, 0)
        assert (row.p, row.p_adjusted, row.d_z) == (1, 1, None)
    assert found.same_text == 1
    assert all(a == b for a, b in found.verdicts.values())


def test_what_is_stored_otherwise_is_named_with_its_count_and_size(repeated, tmp_path):
    db, first, again, _ = repeated
    at = f"WHERE run_id = '{again}'"
    copy = changed(
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


def test_a_store_that_says_otherwise_is_told_on_and_the_exploratory_mark_is_kept(repeated, stored, tmp_path):  # fmt: skip
    """Of the run in bfloat16: the dtype is the stored one's, not the target's."""
    db, second = repeated[0], stored[2]
    at = f"WHERE run_id = '{second}'"
    copy = changed(db, tmp_path, f"UPDATE generations SET decoded_answer = 'x' {at} AND rowid = (SELECT min(rowid) FROM generations {at})")  # fmt: skip
    before = rows_of(copy, second)
    found = call("rerun", second, "--device", "cpu", "--db", copy)
    assert found.exit_code == 1, found.output
    assert "the tables do not agree: generations." in found.output
    assert "1 not the same" in found.output
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
def test_what_cannot_be_repeated_is_refused_and_nothing_is_begun(stored, tmp_path, statement, said):
    copy = changed(stored[0], tmp_path, statement)
    found = call("rerun", stored[1], "--device", "cpu", "--db", copy)
    assert found.exit_code == 2, found.output
    assert said in found.stderr
    assert found.stderr.count("\n") == 1
    assert query(copy, "SELECT count(*) FROM runs") == [(2,)]


def test_every_table_but_runs_is_told_apart(stored):
    """A table that `row_digests` forgot would agree whatever it holds."""
    db, a, b = stored
    there = {name for name, rows in rows_of(db, a).items() if rows} - {"runs"}
    found = agreement(db, a, b)
    assert set(found) == there
    assert not found["answers"].agrees
    assert found["prompts"].agrees
