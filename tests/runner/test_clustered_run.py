"""A run whose claims go by principles: what the terminal, the report, the store and the exit status say."""

import json

import pytest

from tests.helpers.cli import invoke
from tests.helpers.pages import Page, page_of, text_of
from tests.helpers.runs import made_once, run_on_organism
from tests.helpers.specs import in_clusters, some_voices
from tests.helpers.store import query

SIZES = (3, 1, 2, 4, 2, 2)
SPEC = """\
name: clustered
question: Does it run?
targets: {organism: {layers: [1, 3]}}
prompts: few.jsonl
new_tokens: 1
contrast: {alpha: 0.3}
split: {strata: principle}
cluster: principle
unadjusted: few
ablations: [{name: top, select: {top: 2, by: contrast}, kind: zero, controls: 4}]
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
  - {name: by-family, behaviour: logit_difference, contrast: true, direction: greater, cluster: family}
  - {name: matters, ablation: top, direction: toward-correct}
  - {name: exists, features: significant, at_least: 1}
  - {name: alike, features: significant, at_most: 0, margin: 0.01}
"""


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    def make(folder, db):
        lines = map(json.loads, some_voices(14).splitlines())
        lines = in_clusters(list(lines), SIZES)
        (folder / "few.jsonl").write_text("\n".join(map(json.dumps, lines)))
        (folder / "clustered.yaml").write_text(SPEC)
        run_on_organism(folder / "clustered.yaml", db)

    return made_once(tmp_path_factory, "clustered.duckdb", make)


def confirming(db):
    return query(
        db,
        "SELECT value, count(DISTINCT family) FROM prompts JOIN prompt_tags USING (run_id, prompt_id) "
        "WHERE tag = 'principle' AND split = 'confirmation' GROUP BY value",
    )


def test_each_principle_has_families_on_both_sides(clustered):
    assert sum(n for _, n in confirming(clustered)) == sum(SIZES) // 2
    of = dict(confirming(clustered))
    for i, size in enumerate(SIZES):
        assert abs(of.get(f"p{i:02}", 0) - size / 2) < 1


def test_verdicts_count_principles_and_say_of_how_many_families(clustered):
    found = query(clustered, "SELECT claim, n_units, because FROM verdicts ORDER BY claim")
    rows = {claim: (n, because) for claim, n, because in found}
    n, families = len(confirming(clustered)), sum(SIZES) // 2
    assert {rows[claim][0] for claim in ("moved", "matters", "exists", "alike")} == {n}
    assert rows["by-family"][0] == families
    assert rows["moved"][1].startswith(f"{n} of {n} principles [")
    assert f", {families} families, correlation within principles " in rows["moved"][1]
    assert rows["exists"][1].startswith(f"{n} principles, {families} families, ")
    assert rows["by-family"][1].startswith(f"{families} of {families} families [")
    for table in ("ablation_tests", "feature_tests"):
        where = "" if table == "ablation_tests" else " WHERE split = 'confirmation'"
        assert query(clustered, f"SELECT DISTINCT n_units FROM {table}{where}") == [(n,)]


def test_the_report_counts_them_too(clustered):
    page = Page(page_of(clustered, "clustered"))
    n, families = len(confirming(clustered)), sum(SIZES) // 2
    power = text_of(page.part("power"))
    assert f"{families} of {n} principles (and {sum(SIZES) - families} that selected)" in power
    assert "sign flips of the principles" in power
    assert "sign flips of the families" in power  # of the claim that goes by families
    assert "standard deviations of the principles" in page.text


def test_the_verdicts_drawn_again_are_the_same(clustered, tmp_path):
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(clustered.read_bytes())
    before = query(copy, "SELECT * FROM verdicts ORDER BY claim")
    found = invoke("analyse", "clustered", "--db", copy)
    assert "error" not in found.output
    assert query(copy, "SELECT * FROM verdicts ORDER BY claim") == before
