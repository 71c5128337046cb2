"""Baselines in runs: their directions by hand, a run that is stopped, and every surface that tells them."""

import json
import shutil

import numpy as np
import pytest
import torch

from harness.errors import CannotRun
from harness.runner import checkpoint
from harness.runner.reanalysis import analyse_again
from harness.runner.rerun import rerun
from harness.store.database import Store
from harness.store.tables.interventions import Interventions
from tests.helpers.cli import invoke
from tests.helpers.runs import a_run_context, made_once, quiet, run_into, run_on_organism
from tests.helpers.specs import ablation_plan, family_lines, write_few
from tests.helpers.store import dictionaries, query

LAYER = Interventions.names().index("layer")
THREE = ("mean-difference", "probe", "neurons")
TOP = """\
ablations:
  - {name: top, select: {top: 2, by: contrast}, controls: 2, baselines: [mean-difference, neurons]}
"""
CLAIMS = """\
unadjusted: three families confirm
claims:
  - {name: beats, ablation: top, direction: toward-correct, beyond: mean-difference}
"""


def small():
    return ablation_plan(baselines=THREE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_into(tmp_path_factory.mktemp("run") / "a.duckdb", small(), a_run_context())


def test_a_mean_difference_is_that_of_plain_forwards_of_the_discovering_prompts(whole):
    plan, model = small(), a_run_context().model
    sums = {layer: torch.zeros(model.width, dtype=torch.float64) for layer in plan.layers}
    for prompt in plan.of("discovery"):
        ids = torch.tensor([model.tokens(prompt.text, prompt.answer).prompt])
        states = model.network(ids, output_hidden_states=True).hidden_states
        sign = 1 if prompt.label == "correct" else -1
        for layer, total in sums.items():
            total += sign * states[layer + 1][0, -1].double()
    edited = {row[LAYER] for row in whole["interventions"] if "target" in row}
    found = {}
    for _, _, name, layer, dimension, value, _ in whole["baseline_directions"]:
        found.setdefault((name, layer), {})[dimension] = value
    assert {layer for _, layer in found} == edited
    assert {name for name, _ in found} == {*THREE}
    for (name, layer), values in found.items():
        along = np.array([values.get(i, 0.0) for i in range(model.width)])
        assert np.linalg.norm(along) == pytest.approx(1.0)
        if name == "mean-difference":
            by_hand = (sums[layer] / sums[layer].norm()).numpy()
            np.testing.assert_allclose(along, by_hand, atol=1e-5)


@pytest.mark.parametrize("stop", ["profile", "baseline directions", "ablate"])
def test_a_run_that_is_stopped_goes_on_along_the_same_directions(
    whole, tmp_path, stop, monkeypatch
):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)

    class Stopping(Store):
        """It is stopped once something of a stage is in."""

        def commit(self, *columns):
            super().commit(*columns)
            if self.query("SELECT 1 FROM units WHERE stage = $stage", {"stage": stop})[1]:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_into(tmp_path / "b.duckdb", small(), a_run_context(), Stopping)
    assert run_into(tmp_path / "b.duckdb", small(), a_run_context()) == whole


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """A results file with a run of this claim on three families."""

    def make(folder, db):
        run_on_organism(write_few(folder, TOP, CLAIMS, name="rivals"), db)

    return made_once(tmp_path_factory, "rivals.duckdb", make)


def test_the_estimate_is_what_the_evidence_and_the_query_say(held):
    ((run, estimate, because),) = query(held, "SELECT run_id, estimate, because FROM verdicts")
    ((beyond, rows),) = query(
        held, f"SELECT avg(value - beside), count(*) FROM evidence('{run}', 'beats')"
    )
    assert rows > 5
    assert estimate == pytest.approx(beyond)
    assert "the mean difference" in because
    found = invoke("sql", "baselines", "--run", "rivals", "--format", "json", "--db", held)
    by_name = {row["baseline"]: row for row in json.loads(found.stdout)}
    assert {*by_name} == {"mean-difference", "neurons"}
    assert by_name["mean-difference"]["difference"] == pytest.approx(estimate)
    for name, row in by_name.items():
        ((mean,),) = query(
            held,
            "SELECT avg(impact) FROM impacts JOIN (SELECT DISTINCT intervention_id FROM interventions "
            f"WHERE baseline = '{name}') USING (intervention_id) WHERE metric = 'logit_difference'",
        )
        assert row["baseline_impact"] == pytest.approx(mean)


def test_neurons_are_as_many_as_features_are_edited_there(held):
    features = dict(
        query(
            held,
            "SELECT layer, count(*) FROM interventions WHERE role = 'target' GROUP BY layer",
        )
    )
    directions = dictionaries(held, "SELECT baseline, layer, count(*) AS n FROM baseline_directions "
                                    "GROUP BY ALL")  # fmt: skip
    assert {
        row["layer"]: row["n"] for row in directions if row["baseline"] == "neurons"
    } == features
    assert all(row["n"] > 100 for row in directions if row["baseline"] == "mean-difference")


def test_a_spec_and_a_report_tell_them(held, tmp_path):
    page = tmp_path / "page.html"
    invoke("report", "rivals", "--db", held, "--output", page)
    text = page.read_text(encoding="utf-8")
    assert "minus that of the mean difference, an edit as large" in text
    assert "target minus the neurons that differ most" in text
    assert "sign flips of the families" in text
    spec = write_few(tmp_path, TOP, CLAIMS, name="rivals")
    said = " ".join(invoke("plan", spec, "--target", "organism").output.split())
    assert "top: baselines mean-difference, neurons, as large as" in said
    assert "baseline directions top" in said


def test_it_is_analysed_again_and_repeated_from_the_store_alone(held, tmp_path):
    db = shutil.copy(held, tmp_path / "r.duckdb")
    rows = "SELECT claim, verdict, p, estimate, because FROM verdicts"
    before, tests = query(db, rows), query(db, "FROM baseline_tests ORDER BY ALL")
    ((run,),) = query(db, "SELECT run_id FROM runs")
    analyse_again(run, db=db)
    assert query(db, rows) == before
    assert query(db, "FROM baseline_tests ORDER BY ALL") == tests
    assert rerun(run, db=db, device="cpu", progress=quiet, say=lambda _: None).agrees


def test_variants_that_are_alike_at_the_readout_are_refused_in_a_sentence(tmp_path):
    same = [line | {"prompt": f"Thing {line['family']} moves; it is"} for line in family_lines()]
    plan = ablation_plan(same, select={"by": "list", "features": {1: (3, 9)}}, baselines=("probe",))
    with pytest.raises(CannotRun, match="holds the same at both variants' readout"):
        run_into(tmp_path / "c.duckdb", plan, a_run_context())
