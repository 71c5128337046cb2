"""A run whose variants have names of their own: the same numbers as by their roles, and other words."""

import json
import re

import pytest

from harness.specs.spec_file import load
from harness.specs.variants import Variants
from tests.helpers.cli import exported, invoke
from tests.helpers.pages import Page, page_of
from tests.helpers.runs import made_once, run_on_organism
from tests.helpers.specs import some_voices
from tests.helpers.store import query

NAMES = Variants("careful", "mixed-up")
SPEC = """\
name: NAME
question: Does it run?
targets: {organism: {layers: [1, 3]}}
prompts: NAME.jsonl
new_tokens: 1
contrast: {of: POSITIVE, against: OTHER, alpha: 0.3}
unadjusted: three families confirm
ablations:
  - {name: top, select: {top: 2, by: contrast, toward: POSITIVE}, variant: OTHER, doses: [0, 2], controls: 2}
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater}
  - {name: likely, behaviour: log_p_POSITIVE, direction: greater, than: -30}
  - {name: unlikely, behaviour: log_p_OTHER, direction: less, than: 0}
  - {name: matters, ablation: top, direction: toward-POSITIVE, beyond: zero}
  - {name: falls, monotone: top, direction: toward-OTHER}
  - {name: spares, collateral: top, prompts: NAME.jsonl, metric: log_p_POSITIVE, within: 5}
"""


def write(folder, name, variants):
    text = SPEC.replace("NAME", name)
    for word, role in (("POSITIVE", "correct"), ("OTHER", "misconception")):
        text = text.replace(word, variants.name(role))
    lines = [
        line | {"label": variants.name(line["label"])}
        for line in map(json.loads, some_voices(6).splitlines())
    ]
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A results file with the same run twice: by the roles, `plain`, and by other names, `named`."""

    def make(folder, db):
        run_on_organism(write(folder, "plain", Variants()), db)
        run_on_organism(write(folder, "named", NAMES), db)

    return made_once(tmp_path_factory, "variants.duckdb", make)


def both(db, sql):
    return [query(db, sql, spec=name) for name in ("plain", "named")]


def test_the_numbers_are_those_by_the_roles(done):
    mine = "JOIN runs USING (run_id) WHERE spec_name = $spec ORDER BY ALL"
    for sql in (
        f"SELECT claim, verdict, estimate, ci_low, ci_high, p, because FROM verdicts {mine}",
        f"SELECT * EXCLUDE (run_id, spec_name, target, exploratory) FROM ablation_summary {mine}".replace(
            "JOIN runs USING (run_id) ", ""
        ),
        f"SELECT prompt_id, label, log_p_correct, log_p_misconception FROM behaviour {mine}",
        f"SELECT prompt_id, impacts.metric, impact FROM impacts {mine}",
    ):
        plain, named = both(done, sql)
        assert plain, sql
        assert plain == named, sql


def test_the_store_has_the_names_beside_the_roles(done):
    names = "SELECT variant_correct, variant_misconception FROM runs WHERE spec_name = $spec"
    assert both(done, names) == [[("correct", "misconception")], [("careful", "mixed-up")]]
    mine = "JOIN runs USING (run_id) WHERE spec_name = $spec ORDER BY ALL"
    for table in ("prompts", "other_prompts"):
        plain, named = both(done, f"SELECT DISTINCT label, variant FROM {table} {mine}")
        assert plain == [("correct", "correct"), ("misconception", "misconception")]
        assert named == [("correct", "careful"), ("misconception", "mixed-up")]


@pytest.mark.parametrize("claim", ["moved", "likely", "unlikely", "matters", "falls", "spares"])
def test_the_rows_behind_a_claim_are_the_same(done, claim):
    found = []
    for name in ("plain", "named"):
        ((run,),) = query(done, "SELECT run_id FROM runs WHERE spec_name = $spec", spec=name)
        columns = "prompt_id, layer, feature, value, beside"
        sql = f"SELECT {columns} FROM evidence($run, $claim) ORDER BY ALL"
        found.append(query(done, sql, run=run, claim=claim))
    assert found[0]
    assert found[0] == found[1]


def test_a_report_says_the_names_and_never_the_roles(done):
    text = Page(page_of(done, "named")).text
    own = text.rpartition("Provenance")[0]
    assert not re.search(r"\b(?:in)?correct\b|misconception|\bright answer|wrong", own), own
    for said in (
        "after careful",
        "after mixed-up",
        "careful answer",
        "fires on careful",
        "on the mixed-up variants",
    ):
        assert said in own, said
    plain = Page(page_of(done, "plain")).text
    for said in ("after correct", "after misconception", "the right answer", "fires on correct"):
        assert said in plain, said


def test_a_failure_and_the_terminal_say_the_names(done):
    said = invoke("show", "named", "--db", done).output
    assert "misconception" not in said.replace("variant misconception", "")


def test_an_export_is_imported_and_repeated_with_its_names(done, tmp_path):
    folder, _ = exported(tmp_path, done, "named")
    found = invoke("import", folder, "--db", tmp_path / "new.duckdb")
    assert found.exit_code == 0, found.output
    variants = "SELECT DISTINCT label, variant FROM prompts ORDER BY ALL"
    assert query(tmp_path / "new.duckdb", variants) == [
        ("correct", "careful"),
        ("misconception", "mixed-up"),
    ]


def test_plan_says_the_names(tmp_path):
    path = write(tmp_path, "named", NAMES)
    assert load(path).plan().spec.variants == NAMES
    told = json.loads(invoke("plan", path, "--json").stdout)
    assert told["variants"] == ["careful", "mixed-up"]
    assert "variants" not in json.loads(invoke("plan", "voices", "--json").stdout)
