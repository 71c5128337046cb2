"""A whole eval on a device that is not the processor: a pretended one, which sees what a GPU would.

Each run is a process of its own: a backend of torch cannot be taken back.
"""

import json
import math
import subprocess
import sys

import pytest

from harness.runner.context import How
from harness.runner.estimate import estimate_with
from harness.runner.run import run_eval
from harness.specs.spec_file import load
from harness.specs.trials import limited
from harness.specs.workload import OUTPUTS
from tests.helpers import ROOT
from tests.helpers.hooked_specs import LAYERS, spec_of, write
from tests.helpers.runs import quiet
from tests.helpers.store import query

SMALL = {"limit": 2, "batch_size": 16}
BOUND = 2e-5  # nats, or units of a feature's value: float32 in batches of other shapes
# What is stored of what was computed on the device: which rows, and which of their numbers.
MEASURED = {
    "answers": ("prompt_id, candidate, token_index", "logprob"),
    "activations": ("prompt_id, layer, feature", "value"),
    "token_activations": ("prompt_id, layer, feature, position", "value"),
    "topk_logits": ("prompt_id, step, token_id", "logit, logprob"),
    "sae_health": ("layer", "l0, fvu, loss_spliced, loss_zeroed"),
    "feature_activity": ("layer, feature", "firing_rate, mean_activation"),
    "attributions": ("ablation, family, layer, feature", "predicted"),
    "attribution_errors": ("ablation, family, layer", "features, error, constant"),
    "output_scores": ("layer, feature", "score, base"),
    "impacts": ("intervention_id, prompt_id, metric", "baseline, edited, impact"),
    "impact_tokens": ("intervention_id, prompt_id, candidate, token_index", "baseline, edited, kl"),
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    text = (ROOT / "tests" / "helpers" / "every_edit.yaml").read_text()
    folder = tmp_path_factory.mktemp("every")
    (folder / "data").mkdir()
    lines = (ROOT / "data" / "voices.jsonl").read_text().splitlines(keepends=True)
    some = [line for line in lines if "-named" in line]  # two pairs of four a family
    (folder / "data" / "voices.jsonl").write_text("".join(some))
    path = folder / "every.yaml"
    path.write_text(text)
    return path


def run_there(spec, db, **options):
    """Run it on the pretended device; what was seen there."""
    call = [sys.executable, "-m", "benchmarks.pretend_run", spec, db]
    done = subprocess.run(
        [*call, json.dumps(SMALL | options)], capture_output=True, text=True, cwd=ROOT, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def here(spec, tmp_path_factory):
    """The same run on the processor."""
    db = tmp_path_factory.mktemp("here") / "r.duckdb"
    run_eval(load(spec), "organism", db=db, how=How(device="cpu", **SMALL), progress=quiet)
    return db


@pytest.fixture(scope="module")
def there(spec, tmp_path_factory):
    """A run in float32, and what was seen of it."""
    db = tmp_path_factory.mktemp("there") / "r.duckdb"
    return db, run_there(spec, db)


def rows_of(db, table, keys, values):
    found = query(db, f"SELECT {keys}, {values} FROM {table}")
    return {row[: keys.count(",") + 1]: row[keys.count(",") + 1 :] for row in found}


def agree(here, there):
    for table, columns in MEASURED.items():
        mine, theirs = rows_of(here, table, *columns), rows_of(there, table, *columns)
        assert mine.keys() == theirs.keys(), table
        assert mine, table
        for key, values in mine.items():
            for ours, others in zip(values, theirs[key], strict=True):
                close = math.isclose(ours, others, rel_tol=1e-4, abs_tol=BOUND)
                assert close or (math.isnan(ours) and math.isnan(others)), (table, key)


def test_every_kind_of_edit_does_there_what_it_does_here(here, there):
    agree(here, there[0])


def test_a_model_that_is_spread_over_two_devices_does_the_same(spec, here, tmp_path):
    db = tmp_path / "r.duckdb"
    seen = run_there(spec, db, split=True)
    assert seen["operations"] > 1000
    assert seen["mixed"] == {}
    agree(here, db)


@pytest.mark.parametrize(
    "hook, read, split",
    [("attn_out", "hook_attn_out", True), ("transcoder", "ln2.hook_normalized", False)],
)
def test_other_sites_are_read_and_edited_there_as_they_are_here(tmp_path, hook, read, split):
    """What attention adds is handed to a block of another device; the second needs the norm's weights, which are there, in a file that is read here."""
    for layer in LAYERS:
        write(tmp_path / "saes", hook, layer, read)
    path = spec_of(tmp_path, hook)
    mine, theirs = tmp_path / "here.duckdb", tmp_path / "there.duckdb"
    run_eval(load(path), "organism", db=mine, how=How(device="cpu", **SMALL), progress=quiet)
    seen = run_there(path, theirs, split=split)
    assert seen["mixed"] == {}
    agree(mine, theirs)


def test_memory_that_runs_out_anywhere_costs_rows_a_forward_and_nothing_else(spec, here, tmp_path):
    """Rows are computed again, and none is there twice: the first allocations of many lines fail."""
    db = tmp_path / "r.duckdb"
    seen = run_there(spec, db, failures=2)
    assert len(seen["failed"]) >= 25
    assert len([line for line in seen["said"] if "memory ran out" in line]) == len(seen["failed"])
    assert query(db, "SELECT batch_size < 16 FROM runs") == [(True,)]
    agree(here, db)


def test_memory_that_runs_out_while_the_model_is_loaded_is_said(spec, tmp_path):
    call = [sys.executable, "-m", "benchmarks.pretend_run", spec, tmp_path / "r.duckdb"]
    options = json.dumps(SMALL | {"full_at": 20})
    done = subprocess.run([*call, options], capture_output=True, text=True, cwd=ROOT, timeout=900)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("harness.errors.CannotRun: memory: it ran out loading fixtures/organism")


def test_what_each_stage_takes_there_is_what_was_estimated(spec, there):
    """Memory never above the estimate, nor less than a third of it; forwards and operations within half."""
    seen = there[1]["stages"]
    plan = limited(load(spec).plan("organism"), SMALL["limit"])
    # A quarter of what is free is for SAEs: here for both of the layers.
    needed = estimate_with(plan, free=10**9, on_cpu=False, batch_size=SMALL["batch_size"])
    assert needed.saes_kept == len(plan.layers)
    told = {stage.stage: stage for stage in needed.stages}
    # They follow a trace, and are told of by no progress.
    outputs = told.pop(OUTPUTS)
    assert told.keys() == seen.keys() - {"analyse"}
    assert outputs.bytes <= told["trace"].bytes
    for name, stage in told.items():
        allowed = needed.model + needed.saes + stage.bytes
        assert seen[name]["bytes"] <= allowed <= 3 * seen[name]["bytes"], name
    # They are counted from the beginning on; a generation of tokens is one call there.
    last = list(seen.values())[-1]
    said = sum(stage.forwards for stage in needed.stages if stage.stage == "generate")
    forwards = sum(stage.forwards for stage in needed.stages) - said
    assert forwards == pytest.approx(last["forwards"], rel=0.5)
    operations = sum(stage.operations for stage in needed.stages)
    assert operations == pytest.approx(last["operations"], rel=0.5)


def test_nothing_is_added_up_in_no_order_there(there):
    assert there[1]["unordered"] == {}


def test_the_host_waits_a_few_times_a_forward_and_never_for_a_row(there):
    """A line that waits for every job, row or position would wait hundreds of times here."""
    _, seen = there
    waits, forwards = seen["waits"], seen["forwards"]
    replays = forwards["replay"] + forwards["cached_forward"]

    def of(*places):
        return {line: count for line, count in waits.items() if line.startswith(places)}

    # Of a chunk of replays: what says which rows and columns, and where, and what comes back. No line
    # waits more often than there are forwards: of jobs there are several times as many.
    for line, count in of("interventions/replay", "interventions/edits").items():
        assert count <= replays, line
    batched = ("models/language_model", "models/suffix", "models/logprobs", "models/hooks")
    everywhere = replays + forwards["token_scores"] + forwards["generate"]
    assert sum(of(*batched).values()) <= 5 * everywhere, of(*batched)
    # The five tensors of each of two layers' SAEs are copied there once, whatever the stages and their
    # groups; of one layer once more where memory ran out on the way.
    assert 10 <= sum(of("sae/encoding").values()) <= 15
    for line, count in of("runner/stages/observe", "runner/stages/trace", "sae/pooling").items():
        assert count <= 12, line
    for line, count in of("runner/stages/attribute").items():
        assert count <= replays, line
    # Seven ablations of two layers copy members, gains and shifts, and no intervention by itself.
    assert max(of("interventions/layer_edits").values()) <= 3 * 7 * 2
    # Some 75 ways to read an SAE are tried at each layer, once.
    assert max(of("sae/trial").values()) <= 160


def test_noise_of_the_place_stops_no_run_and_is_what_impacts_are_held_against(spec, tmp_path):
    """In half precision, by kernels that divide rows into tiles: a twin is not the same."""
    db = tmp_path / "r.duckdb"
    seen = run_there(spec, db, dtype="bfloat16", noise="by_tile", has_double=False)
    assert seen["unordered"] == {}
    ((floor,),) = query(db, "SELECT noise_floor FROM runs")
    assert 1e-4 < floor < 1
    assert query(db, "SELECT max(noise) FROM ablation_tests WHERE metric = 'logit_difference'") == [
        (floor,)
    ]
    no_ops = "SELECT DISTINCT intervention_id FROM interventions WHERE role = 'no-op'"
    assert query(
        db, f"SELECT max(abs(impact)) FROM impacts WHERE intervention_id IN ({no_ops})"
    ) == [(0,)]
