"""Sets that were frozen with other dictionaries: matched feature by feature, or refused."""

import json
import shutil

import pytest

from harness.errors import CannotRun, InputError
from harness.runner.rerun import rerun
from harness.store.database import Store
from tests.helpers.cli import invoke
from tests.helpers.dictionaries import write_shuffled
from tests.helpers.pages import Page, page_of
from tests.helpers.runs import quiet, run_on_organism
from tests.helpers.specs import write_few
from tests.helpers.store import changed_copy, query

CLAIMS = """\
unadjusted: few families confirm
claims:
  - {name: matters, ablation: again, direction: toward-correct}
"""
IMPACTS = (
    "SELECT prompt_id, metric, impact FROM impacts JOIN (SELECT DISTINCT run_id, intervention_id "
    "FROM interventions WHERE role = 'target' AND ablation = $a) USING (run_id, intervention_id) "
    "WHERE run_id = $r ORDER BY ALL"
)
TARGETS = (
    "SELECT layer, feature FROM interventions WHERE role = 'target' AND run_id = $r AND ablation = $a "
    "ORDER BY rank"
)


def taker(folder, sae="", how=", match: decoder", takes="few/top", layers="[1, 3]"):
    """A spec `taker` of the prompts of `few`, on the organism with the SAEs of a folder."""
    select = f"{{from: {takes}{how}}}"
    more = f"ablations: [{{name: again, select: {select}, kind: zero, controls: 2}}]\n"
    path = write_few(folder, more, CLAIMS, layers, "taker")
    if sae:
        text = path.read_text()
        path.write_text(text.replace(f"layers: {layers}", f"layers: {layers}, sae: {sae}"))
    return path


@pytest.fixture(scope="module")
def matched(few, tmp_path_factory):
    """A results file with `few`, and `taker` with the same features under other numbers; and these."""
    folder = tmp_path_factory.mktemp("matched")
    db = folder / "r.duckdb"
    shutil.copy(few[0], db)
    places = write_shuffled(folder / "wide")
    return db, run_on_organism(taker(folder, "wide"), db), places, folder


def test_the_match_is_the_known_permutation_and_does_as_much(matched, few):
    db, run, places, _ = matched
    frozen = query(db, TARGETS, r=few[1], a="top")
    assert query(db, TARGETS, r=run, a="again") == [
        (layer, places[layer][feature]) for layer, feature in frozen
    ]
    rows = query(db, "SELECT * FROM matched_features ORDER BY rank")
    assert [row[:-3] for row in rows] == [
        (run, "again", rank, layer, places[layer][feature], feature, few[1])
        for rank, (layer, feature) in enumerate(frozen)
    ]
    assert [row[-2:] for row in rows] == [(True, "stand-in")] * 2
    assert [row[-3] for row in rows] == pytest.approx([1, 1], abs=1e-6)
    there, here = query(db, IMPACTS, r=few[1], a="top"), query(db, IMPACTS, r=run, a="again")
    assert [row[:2] for row in here] == [row[:2] for row in there]
    assert [row[2] for row in here] == pytest.approx([row[2] for row in there], abs=2e-4)
    assert max(abs(row[2]) for row in there) > 0.1


def test_every_surface_says_which_features_stand_for_which(matched, few):
    db, _, places, _ = matched
    (layer, feature), *_ = query(db, TARGETS, r=few[1], a="top")
    said = f"{layer}:{places[layer][feature]} (of {feature}, cosine 1.00)"
    assert said in " ".join(invoke("show", "taker", "--db", db).output.split())
    found = json.loads(invoke("show", "taker", "--db", db, "--json").stdout)["matched"]
    assert found[0]["from_feature"] == feature
    call = ("sql", "matched_features", "--run", "taker", "--db", db, "--format", "json")
    asked = json.loads(invoke(*call).stdout)
    assert (asked[0]["feature"], asked[0]["taken"]) == (places[layer][feature], True)
    page = Page(page_of(db, "taker"))
    assert "matched with its own SAEs' features by their decoder directions" in page.text
    row, *_ = page.table("Where the features of again came from, table")
    assert row["frozen"] == f"{layer}:{feature}"
    assert row["edited here"] == f"{layer}:{places[layer][feature]}"


def test_what_becomes_of_the_other_run_changes_nothing(matched, few, tmp_path, monkeypatch):
    db, run, _, folder = matched
    monkeypatch.setenv("HARNESS_FOLDERS", str(folder))
    gone = [f"DELETE FROM {table} WHERE run_id = '{few[1]}'" for table in ("runs", "interventions")]
    copy = changed_copy(db, tmp_path, *gone)
    rows = "SELECT * EXCLUDE (run_id) FROM matched_features WHERE run_id = $r ORDER BY ALL"
    again = rerun(run, db=copy, device="cpu", progress=quiet, say=lambda _: None)
    assert again.agrees
    second = again.outcome.run_id
    assert query(copy, rows, r=second) == query(copy, rows, r=run)
    assert query(copy, TARGETS, r=second, a="again") == query(copy, TARGETS, r=run, a="again")


def test_without_match_other_saes_are_refused_and_the_message_names_it(matched):
    db, _, _, folder = matched
    with pytest.raises(CannotRun, match=r"has other SAEs of layer .*; .*add `match: decoder` to"):
        run_on_organism(taker(folder, "wide", how=""), db)


def test_random_features_are_no_match(few, tmp_path):
    db = changed_copy(few[0], tmp_path, "SELECT 1")
    write_shuffled(tmp_path / "random", known=0.0)
    found = invoke("run", taker(tmp_path, "random"), "--target", "organism", "--db", db)
    assert found.exit_code == 3
    words = "2 of the 2 features of top of few, run "
    assert words in found.stderr
    assert "have no match here with a cosine of 0.7: " in found.stderr
    assert not query(db, "FROM matched_features")


def test_features_below_the_least_cosine_are_left_out_and_named(few, tmp_path):
    """Half of the set may be: the other one is edited, and the verdict says what it is without."""
    db = changed_copy(few[0], tmp_path, "SELECT 1")
    (one, other) = query(db, TARGETS, r=few[1], a="top")
    places = write_shuffled(tmp_path / "half")
    spoil(tmp_path / "half", other[0], places[other[0]][other[1]])
    run = run_on_organism(taker(tmp_path, "half"), db)
    assert query(db, TARGETS, r=run, a="again") == [(one[0], places[one[0]][one[1]])]
    assert query(db, "SELECT taken, cosine < 0.7 FROM matched_features ORDER BY rank") == [
        (True, False),
        (False, True),
    ]
    ((because,),) = query(db, "SELECT because FROM verdicts WHERE run_id = $r", r=run)
    name = f"{other[0]}:{other[1]}"
    assert because.endswith(f"; without 1 of the 2 features that were frozen: {name}")
    assert f"without 1 of the 2 features that were frozen: {name}" in " ".join(
        invoke("show", "taker", "--db", db).output.split()
    )


def spoil(folder, layer, feature):
    """Turn one feature's decoder row round: no direction is as far from another."""
    import numpy as np

    (file,) = (folder / f"layer_{layer}").rglob("params.npz")
    with np.load(file) as found:
        arrays = {name: found[name] for name in found.files}
    arrays["W_dec"][feature] *= -1
    np.savez(file, **arrays)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE runs SET sae_hashes = ['a', 'b']", "cannot be found any more: .*params.npz is another"),
        ("UPDATE runs SET spec = replace(spec, '\"sae\":null', '\"sae\":\"no/such\"')", "that it had cannot be found any more: "),
        ("UPDATE runs SET hook = 'mlp_out'", "its SAEs are of mlp_out, and these of resid_post"),
    ],
)  # fmt: skip
def test_without_the_other_dictionaries_there_is_no_match(matched, few, tmp_path, change, words):
    db = changed_copy(few[0], tmp_path, change)
    with pytest.raises(CannotRun, match=words):
        run_on_organism(taker(tmp_path, matched[3] / "wide"), db)


def test_only_layers_that_are_read_here_are_taken_where_that_is_asked_for(few, tmp_path):
    frozen = query(few[0], TARGETS, r=few[1], a="top")
    layer, feature = frozen[0]
    other = 4 - layer  # of 1 and 3
    db = changed_copy(
        few[0],
        tmp_path,
        f"UPDATE interventions SET layer = {other} WHERE role = 'target' AND ablation = 'top' "
        f"AND rank = 1 AND run_id = '{few[1]}'",
    )
    unread = query(db, TARGETS, r=few[1], a="top")[1]
    with pytest.raises(InputError, match="or write `layers: shared` beside its `from`"):
        run_on_organism(taker(tmp_path, how="", layers=f"[{layer}]"), db)
    run = run_on_organism(taker(tmp_path, how=", layers: shared", layers=f"[{layer}]"), db)
    assert query(db, TARGETS, r=run, a="again") == [(layer, feature)]
    ((because,),) = query(db, "SELECT because FROM verdicts WHERE run_id = $r", r=run)
    name = f"{unread[0]}:{unread[1]}"
    assert because.endswith(f"; without 1 of the 2 features that were frozen: {name}")
    with Store.open_to_read(db) as store:
        _, rows = store.query("SELECT feature, cosine, taken FROM matched_features ORDER BY rank")
    assert rows == [(feature, None, True), (None, None, False)]
    both = ", match: decoder, layers: shared"
    run = run_on_organism(taker(tmp_path, how=both, layers=f"[{layer}]"), db)
    rows = "SELECT feature, cosine, taken FROM matched_features WHERE run_id = $r ORDER BY rank"
    assert query(db, rows, r=run) == [(feature, 1.0, True), (None, None, False)]
    with pytest.raises(InputError, match=f"{unread[0]}:"):
        run_on_organism(taker(tmp_path, how=", layers: shared", layers="[0]"), db)


def test_the_target_that_froze_it_may_be_named(few, tmp_path):
    db = changed_copy(few[0], tmp_path, "SELECT 1")
    with pytest.raises(
        CannotRun, match="on elsewhere; first: `harness run few --target elsewhere`"
    ):
        run_on_organism(taker(tmp_path, how=", match: decoder, target: elsewhere"), db)


def test_a_plan_says_that_they_are_to_be_matched(few, tmp_path):
    call = ("plan", taker(tmp_path), "--target", "organism", "--device", "cpu", "--db", few[0])
    (line,) = json.loads(invoke(*call, "--json").stdout)["sources"]
    assert line.endswith(", to be matched here by their decoders' cosines, 0.7 or more")
