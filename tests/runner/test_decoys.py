"""Decoys: what a run stores of its frozen features on another file, and the claim about them."""

import json
from collections import Counter

import pytest

from tests.helpers import ROOT
from tests.helpers.cli import invoke
from tests.helpers.pages import Page, page_of
from tests.helpers.runs import made_once, run_on_organism
from tests.helpers.specs import some_voices, write_few
from tests.helpers.store import changed_copy, query

TOP = "ablations: [{name: top, select: {top: 3, by: contrast}, kind: zero, controls: 2}]\n"
CLAIMS = """\
unadjusted: few families confirm
claims:
  - {name: no-decoy, decoy: top, prompts: decoys.jsonl, less_than: 0.5}
  - {name: exists, features: significant, at_least: 1}
"""


KINDS = ("salt and sugar", "hats")


def decoy_lines():
    """Two kinds of decoys in the frames of six other families, each in every one of them."""
    found = [
        line
        for line in map(json.loads, (ROOT / "data" / "decoys.jsonl").read_text().splitlines())
        if line["tags"]["decoy"] in KINDS
    ]
    measured = {json.loads(line)["family"] for line in some_voices(20).splitlines()}
    both = Counter(line["family"] for line in found if line["family"] not in measured)
    families = sorted(family for family, lines in both.items() if lines == 8)[:6]
    return [
        line
        | {key: f"{line['tags']['decoy']}-{line[key]}" for key in ("id", "pair_id")}
        | {"tags": {"decoy": line["tags"]["decoy"]}}
        for line in found
        if line["family"] in families
    ]


def write(folder, claims=CLAIMS, more=TOP, name="decoyed"):
    (folder / "decoys.jsonl").write_text("\n".join(map(json.dumps, decoy_lines())))
    spec = write_few(folder, more, claims, name=name)
    (folder / "few.jsonl").write_text(some_voices(20))
    return spec


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run with the claim, and one of the decoys as prompts of their own, with the same readout."""

    def make(folder, db):
        run_on_organism(write(folder), db)
        claims = "claims: [{name: e, features: significant, at_least: 1}]\n"
        spec = write_few(
            folder, "", "unadjusted: few\nsplit: {discovery: 0}\n" + claims, name="own"
        )
        (folder / "few.jsonl").write_text((folder / "decoys.jsonl").read_text())
        run_on_organism(spec, db)

    return made_once(tmp_path_factory, "decoyed.duckdb", make)


def test_decoys_are_read_as_the_readout_of_a_run_of_them_is(done):
    stored = query(
        done,
        "SELECT decoy, prompt_id, label, layer, feature, value FROM decoys ORDER BY ALL",
    )
    lines = decoy_lines()
    features = query(
        done,
        "SELECT layer, feature FROM interventions WHERE role = 'target' AND run_id LIKE '%decoyed%'",
    )
    assert len(features) == 3
    assert len(stored) == len(lines) * 3
    own = {
        (prompt, layer, feature): value
        for prompt, layer, feature, value in query(
            done,
            "SELECT prompt_id, layer, feature, value FROM activations WHERE run_id LIKE '%own%'",
        )
    }
    assert any(value for *_, value in stored)
    for kind, prompt, label, layer, feature, value in stored:
        assert (layer, feature) in features
        assert prompt.startswith(kind)
        assert value == pytest.approx(own.get((prompt, layer, feature), 0.0), abs=1e-4), label


def test_the_verdict_is_on_the_worst_of_its_kinds(done):
    ((verdict, kind, estimate, low, high, because),) = query(
        done,
        "SELECT verdict, kind, estimate, ci_low, ci_high, because FROM verdicts WHERE claim = 'no-decoy'",
    )
    assert kind == "decoy"
    # By SQL: the mean contrast of each kind, weighted by the length and sign of each feature's own.
    shares = query(
        done,
        """
        WITH run AS (SELECT run_id FROM runs WHERE spec_name = 'decoyed'),
        of_pair AS (
            SELECT p.split, p.pair_id, t.layer, t.feature,
                sum(coalesce(a.value, 0) * CASE p.label WHEN 'correct' THEN -1 ELSE 1 END) AS d
            FROM prompts p JOIN run USING (run_id)
            CROSS JOIN (SELECT DISTINCT layer, feature FROM interventions JOIN run USING (run_id)
                WHERE role = 'target') t
            LEFT JOIN activations a ON a.run_id = p.run_id AND a.prompt_id = p.prompt_id
                AND a.layer = t.layer AND a.feature = t.feature
            GROUP BY ALL
        ),
        weight AS (
            SELECT layer, feature, sign(avg(d)) * any_value(decoder_norm) AS w
            FROM of_pair JOIN (FROM feature_activity JOIN run USING (run_id)) USING (layer, feature)
            WHERE split = 'discovery' GROUP BY ALL
        ),
        trait AS (
            SELECT avg(s) AS s FROM (SELECT sum(w * d) AS s FROM of_pair JOIN weight USING (layer, feature)
                WHERE split = 'confirmation' GROUP BY pair_id)
        )
        SELECT decoy, sum(w * difference) / any_value(trait.s)
        FROM decoy_summary JOIN weight USING (layer, feature), trait GROUP BY decoy ORDER BY 2
        """,
    )
    assert {kind for kind, _ in shares} == {*KINDS}
    # The organism has learned that these say nothing: the kind that is answered most is reported.
    assert verdict == "supported"
    assert estimate == pytest.approx(max(share for _, share in shares), abs=1e-6)
    assert min(abs(estimate - share) for _, share in shares) < 1e-6
    assert low < estimate < high
    for decoy, share in shares:
        assert f"{decoy} {share:+.2f} [" in because


def test_terminal_report_and_saved_query_show_them(done):
    found = invoke("show", "decoyed", "--db", done)
    assert "no-decoy" in found.output
    rows = json.loads(
        invoke("sql", "decoys", "--run", "decoyed", "--format", "json", "--db", done).output
    )
    assert len(rows) == 6
    assert {row["decoy"] for row in rows} == {*KINDS}
    assert all(row["pairs"] and row["families"] == 6 for row in rows)
    evidence = query(
        done,
        "SELECT count(*) FROM evidence((SELECT run_id FROM runs WHERE spec_name = 'decoyed'), 'no-decoy')",
    )
    assert evidence == query(done, "SELECT count(*) FROM decoys")
    page = Page(page_of(done, "decoyed"))
    assert "contrasts that have nothing to do with the trait, at the readout" in page.text
    assert "decoys.jsonl, hats" in page.text
    assert "what the target's features answer the worst decoy by" in page.text


def test_a_run_repeated_from_the_store_alone_has_the_same_decoys(done, tmp_path):
    copy = changed_copy(done, tmp_path)
    found = invoke("rerun", "decoyed", "--device", "cpu", "--db", copy)
    assert found.exit_code == 0, found.output
    assert "every table agrees, to the last bit." in found.output
    ((runs,),) = query(copy, "SELECT count(DISTINCT run_id) FROM decoys")
    assert runs == 2


@pytest.mark.parametrize(
    "change, said",
    [
        (("decoy: top", "decoy: tpo"), "there is no ablation 'tpo'; did you mean 'top'?"),
        (("decoys.jsonl", "none.jsonl"), "there is no prompt file none.jsonl"),
        (("less_than: 0.5", "less_than: 0"), "less_than"),
        (("less_than: 0.5", "less_than: 2"), "less_than"),
        ((", less_than: 0.5", ""), "'less_than' is missing"),
    ],
)
def test_a_claim_about_decoys_that_is_wrong_is_said(tmp_path, change, said):
    found = invoke("check", write(tmp_path, CLAIMS.replace(*change)))
    assert found.exit_code == 2
    assert said in found.stderr


def test_decoys_are_a_contrast_and_of_families_enough(tmp_path):
    spec = write(tmp_path)
    assert invoke("check", spec).exit_code == 0
    lines = decoy_lines()
    plain = {one["pair_id"]: one["prompt"] for one in lines if one["label"] == "correct"}
    alike = [one | {"prompt": plain[one["pair_id"]]} for one in lines]
    alike = [
        one
        | {
            "foil": "x",
            "answer": "x" if one["label"] == "misconception" else one["expected_correct_answer"],
        }
        for one in alike
    ]
    (tmp_path / "decoys.jsonl").write_text("\n".join(map(json.dumps, alike)))
    found = invoke("check", spec)
    assert found.exit_code == 2
    assert (
        f"both variants of {len(lines) // 2} of {len(lines) // 2} pairs of decoys.jsonl have the same prompt"
        in found.stderr
    )
    few = [one for one in lines if one["family"] == lines[0]["family"]]
    (tmp_path / "decoys.jsonl").write_text("\n".join(map(json.dumps, few)))
    found = invoke("check", spec)
    assert found.exit_code == 2
    assert "claim 'no-decoy' cannot reach alpha 0.3: 1 family can give no p below 1" in found.stderr
