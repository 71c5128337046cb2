"""Two runs held against each other."""

import json
import re

import numpy as np
import pytest

from harness.errors import InputError
from harness.stats.effects import effects
from harness.stats.intervals import mean_interval
from harness.stats.max_t import paired_max_t
from tests.helpers.cli import invoke
from tests.helpers.runs import compared
from tests.helpers.store import changed_copy, query


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


def test_behaviour_is_compared_as_the_statistics_say(two_dtypes):
    db, a, b = two_dtypes
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
def test_impacts_of_the_same_ablation_are_compared_prompt_by_prompt(two_dtypes, ablation):
    db, a, b = two_dtypes
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
    assert len(metrics) == 6
    x, y = (np.array([[side[p, m] for m in metrics] for p in sorted(families)]) for side in sides)
    check_rows(found, f"ablation {ablation}", metrics, x, y, [families[p] for p in sorted(families)])  # fmt: skip
    told = {row.quantity: row.unit for row in found if row.about == f"ablation {ablation}"}
    assert told["top1_flips"] == "flips"
    assert told["kl"] == "nats"


def test_pairs_with_the_same_prompt_have_no_row_between_variants(two_dtypes, tmp_path):
    """Their difference is zero in every model, and says nothing about two."""
    db, a, b = two_dtypes
    same = (
        "UPDATE prompts SET prompt = other.prompt FROM (SELECT DISTINCT pair_id, prompt FROM prompts "
        "WHERE label = 'correct') other WHERE prompts.pair_id = other.pair_id"
    )
    pairs = [pair for (pair,) in query(db, "SELECT DISTINCT pair_id FROM prompts ORDER BY ALL")]
    folders = [tmp_path / "all", tmp_path / "one"]
    for folder in folders:
        folder.mkdir()
    none_left = compared(changed_copy(db, folders[0], same), a, b)
    assert "between variants" not in {row.about for row in none_left.rows}
    assert none_left.left_out == (
        f"between variants: {len(pairs)} of {len(pairs)} pairs have the same prompt in both, and differ by "
        "zero by construction",
    )
    copy = changed_copy(db, folders[1], f"{same} AND other.pair_id = '{pairs[0]}'")
    most = [row for row in compared(copy, a, b).rows if row.about == "between variants"]
    assert {row.n_prompts for row in most} == {len(pairs) - 1}
    said = " ".join(invoke("compare", a, b, "--db", copy).output.split())
    assert f"1 of {len(pairs)} pairs have the same prompt in both" in said
    whole = compared(db, a, b)
    assert whole.left_out == ()
    assert {row.n_prompts for row in whole.rows if row.about == "between variants"} == {len(pairs)}


def test_other_edits_of_one_name_are_not_compared(two_dtypes, tmp_path):
    db, a, b = two_dtypes
    spec = 'replace(spec, \'"kind":"zero"\', \'"kind":"scale"\')'
    copy = changed_copy(db, tmp_path, f"UPDATE runs SET spec = {spec} WHERE run_id = '{b}'")
    found = compared(copy, a, b)
    assert "ablation top" not in {row.about for row in found.rows}
    assert "ablation top" in {row.about for row in compared(db, a, b).rows}
    assert "ablation top is not the same edit: kind zero against scale" in found.left_out
    said = invoke("compare", a, b, "--db", copy).output
    assert "ablation top is not the same edit: kind zero against scale; not compared" in said


def test_a_mock_s_verdict_is_told_as_one(two_dtypes, tmp_path):
    db, a, b = two_dtypes
    copy = changed_copy(db, tmp_path, f"UPDATE runs SET origin = 'mock' WHERE run_id = '{b}'")
    assert "mock: " in invoke("compare", a, b, "--db", copy).output
    assert "mock: " in invoke("show", b, "--db", copy).output
    told = invoke("show", a, "--db", copy).output
    assert "mock: " not in told
    assert not re.search(r"\bnan\b", told)  # what has no value is empty


def test_texts_and_verdicts_of_both_are_told(two_dtypes):
    db, a, b = two_dtypes
    found = compared(db, a, b)
    verdicts = [dict(query(db, "SELECT claim, verdict FROM verdicts WHERE run_id = $r", r=run)) for run in (a, b)]  # fmt: skip
    assert found.verdicts == {claim: (verdicts[0][claim], verdicts[1][claim]) for claim in verdicts[0]}  # fmt: skip
    said = [
        query(db, "SELECT decoded_answer FROM generations WHERE run_id = $r ORDER BY prompt_id", r=run)
        for run in (a, b)
    ]  # fmt: skip
    same = sum(one == two for one, two in zip(*said, strict=True)) / len(said[0])
    assert found.same_text == same
    found = invoke("compare", a, b, "--json", "--db", db)
    told = json.loads(found.stdout)
    assert (told["a"], told["b"], told["same_text"]) == (a, b, same)
    found = invoke("compare", a, b, "--db", db)
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
def test_other_prompts_are_refused_by_name(two_dtypes, tmp_path, statement, said):
    db, a, b = two_dtypes
    (p, pair), *_ = query(db, "SELECT prompt_id, pair_id FROM prompts WHERE run_id = $r", r=b)
    names = {"a": a, "b": b, "p": p, "pair": pair}
    copy = changed_copy(db, tmp_path, statement.format(**names))
    with pytest.raises(InputError, match="runs are compared on the same prompts") as refused:
        compared(copy, a, b)
    told = [str(fault) for fault in refused.value.faults]
    assert len(told) == len(said)
    for line, part in zip(told, said, strict=True):
        assert part.format(**names) in line


def test_a_run_is_not_compared_with_itself(two_dtypes):
    found = invoke("compare", two_dtypes[1], two_dtypes[1], "--db", two_dtypes[0])
    assert (found.exit_code, found.stderr) == (2, f"error: run {two_dtypes[1]}: it is both; name two runs\n")  # fmt: skip


def test_units_are_those_of_the_claims_and_the_coarser_where_two_specs_differ(two_dtypes, tmp_path):
    db, a, b = two_dtypes
    families = [f for (f,) in query(db, "SELECT DISTINCT family FROM prompts ORDER BY family")]
    tagged = (
        "INSERT INTO prompt_tags SELECT run_id, prompt_id, 'group', "
        f"CASE WHEN family < '{families[2]}' THEN 'first' WHEN family < '{families[3]}' THEN 'second' "
        "ELSE 'third' END FROM prompts"
    )
    grouped = (
        'UPDATE runs SET spec = json_merge_patch(spec, \'{"cluster": "group"}\') WHERE run_id = '
    )
    both = changed_copy(db, tmp_path, tagged, f"{grouped}'{a}'", f"{grouped}'{b}'")
    found = compared(both, a, b)
    group = [min(2, max(0, i - 1)) for i in range(6)]
    unit_of = dict(zip(families, group, strict=True))
    assert found.cluster == "group"
    assert {row.n_units for row in found.rows if not row.about.startswith("ablation")} == {3}
    rows = query(both, LOG_P, r=a), query(both, LOG_P, r=b)
    values = [np.array([[c - m, c, m, c > m] for *_, c, m in side], dtype=float) for side in rows]
    units = [unit_of[row[3]] for row in rows[0]]
    check_rows(found.rows, "behaviour", (*BEHAVIOUR, "right"), *values, units)
    said = invoke("compare", a, b, "--db", both, "--report", tmp_path / "c.html").output
    (head,) = (line for line in said.splitlines() if "B - A" in line)
    assert head.split()[-1] == "groups"
    assert "sign flips of whole groups" in (tmp_path / "c.html").read_text()
    one = tmp_path / "one"
    one.mkdir()
    assert compared(changed_copy(db, one, tagged, f"{grouped}'{a}'"), a, b).cluster == "group"
    assert compared(db, a, b).cluster == "family"
