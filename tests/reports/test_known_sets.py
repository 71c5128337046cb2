"""What is known of a selected set: on the terminal, as data, on the page; claims of another eval about it."""

import json
from functools import partial

import pytest

from harness.reports.known_sets import QUESTIONS, unasked_of
from harness.specs.claims import CLAIM_KINDS
from harness.specs.edit_claims import EditClaim
from tests.helpers import ROOT
from tests.helpers.cli import invoke
from tests.helpers.pages import Page, page_of
from tests.helpers.store import changed_copy, query

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def two(few, tmp_path_factory):
    """The run `few`, and its copy by another name, which has `top` from it."""
    tables = query(few[0], "SELECT DISTINCT table_name FROM duckdb_columns() WHERE column_name = 'run_id' "
                           "AND table_name IN (SELECT table_name FROM duckdb_tables())")  # fmt: skip
    source = json.dumps(
        {
            "top": {
                "spec": "few",
                "ablation": "top",
                "spec_hash": "x",
                "run_id": few[1],
                "features": [],
            }
        }
    )
    changes = [
        f"INSERT INTO {table} SELECT * REPLACE ('again' AS run_id) FROM {table}"
        for (table,) in tables
    ]
    changes += [
        "UPDATE runs SET spec_name = 'taker', feature_sources = '" + source + "', spec = "
        "replace(spec, '\"few\"', '\"taker\"') WHERE run_id = 'again'"
    ]
    return changed_copy(few[0], tmp_path_factory.mktemp("two"), *changes)


def test_the_claims_of_a_set_are_shown_by_their_questions_and_so_is_what_nobody_asked(few):
    found = invoke("show", "few/top", "--db", few[0])
    assert found.exit_code == 0
    names = query(
        few[0],
        "SELECT layer || ':' || feature FROM interventions WHERE ablation = 'top' AND role = 'target' ORDER BY rank",
    )
    assert "few/top on organism (stand-in)" in found.stdout
    assert "  " + " ".join(name for (name,) in names) in found.stdout
    ((verdict, estimate),) = query(
        few[0], "SELECT verdict, estimate FROM verdicts WHERE claim = 'matters'"
    )
    (line,) = [line for line in found.stdout.splitlines() if "matters" in line]
    assert line.split()[:4] == ["necessity", "few", "matters", verdict]
    assert f"{estimate:+.3g} nats" in line
    assert "  stability     stable: top" in found.stdout
    assert "  necessity  " not in found.stdout


def test_another_eval_that_takes_the_set_says_what_becomes_of_it_there(two):
    data = json.loads(invoke("show", "few/top", "--db", two, "--json").stdout)
    asked = [(row["question"], row["spec_name"], row["claim"]) for row in data["claims"]]
    assert asked == [("necessity", "few", "matters"), ("transfer", "taker", "matters")]
    assert not {"necessity", "transfer"} & data["unasked"].keys()
    assert query(two, "SELECT DISTINCT of_set FROM set_claims") == [("few/top",)]
    # Of its own name it froze nothing.
    assert json.loads(invoke("show", "taker/top", "--db", two, "--json").stdout)["claims"] == []
    for name in ("few", "taker"):
        table = Page(page_of(two, name)).table("What is known of top, table")
        assert [row["eval"] for row in table] == ["few", "taker"]


def test_an_ablation_of_which_nothing_is_claimed_is_said(few):
    said = invoke("show", "few/one", "--db", few[0]).stdout
    assert "nothing is claimed of it" in said
    assert "What is known of one" not in Page(page_of(few[0], "few")).text


@pytest.mark.parametrize(
    "name, said",
    [
        ("few/tpo", "edited no such set; name one of these: few/one, few/top"),
        ("fwe/top", "there is no such run; did you mean 'few'?"),
        ("few/", "edited no such set"),
    ],
)
def test_a_set_that_is_not_there_is_said(few, name, said):
    found = invoke("show", name, "--db", few[0])
    assert found.exit_code == 2
    assert said in " ".join(found.stderr.split())


def test_hostile_sources_break_no_view(few, tmp_path):
    copy = changed_copy(few[0], tmp_path, "UPDATE runs SET feature_sources = '{'")
    assert query(copy, "SELECT of_set, question FROM set_claims") == [("few/top", "necessity")]


def test_every_kind_of_claim_about_an_edit_answers_a_question():
    """That the saved query orders, and that is asked for where nobody asked it."""
    view = (ROOT / "db" / "views.sql").read_text()
    ordered = (ROOT / "db" / "queries" / "known_of_set.sql").read_text()
    view = view[view.index("CREATE OR REPLACE VIEW set_claims") :]
    view = view[: view.index(";")]
    for question in QUESTIONS:
        assert f"'{question}'" in view
        assert f"'{question}'" in ordered
    of_edits = {kind for kind, model in CLAIM_KINDS.items() if issubclass(model, EditClaim)}
    named = " ".join(QUESTIONS.values())
    assert {kind for kind in of_edits if kind not in named} == set()
    assert unasked_of("a/b", QUESTIONS) == {}
    assert (
        unasked_of("a/b", set())["transfer"] == "select: {from: a/b} in another eval, and transfers"
    )


def test_what_its_features_mean_stands_beside_them(few, tmp_path):
    """The output score, the tokens that each moves up most, and the label where one is known."""
    ask = partial(query, few[0])
    features = ask(
        "SELECT layer, feature FROM interventions WHERE ablation = 'top' AND role = 'target' ORDER BY rank"
    )
    data = json.loads(invoke("show", "few/top", "--db", few[0], "--json").stdout)
    said = invoke("show", "few/top", "--db", few[0]).stdout
    assert len(data["features"]) == len(features)
    for row, (layer, feature) in zip(data["features"], features, strict=True):
        of = f"WHERE run_id = '{few[1]}' AND layer = {layer} AND feature = {feature}"
        ((score, base),) = ask(f"SELECT score, base FROM output_scores {of}")
        tokens = [
            t
            for (t,) in ask(f"SELECT token FROM feature_logits {of} AND side = 'up' ORDER BY rank")
        ]
        assert (row["output_score"], row["base"], row["up"]) == (score, base, tokens)
        (line,) = [line for line in said.splitlines() if line.split()[:1] == [f"{layer}:{feature}"]
                   and f"{score:.3f}" in line]  # fmt: skip
        assert tokens[0].strip() in line
    # An older run has neither, and its features are named alone.
    bare = changed_copy(few[0], tmp_path, "DELETE FROM output_scores", "DELETE FROM feature_logits")
    assert "output score" not in invoke("show", "few/top", "--db", bare).stdout
    assert "output score" in said
