"""Real runs that are imported, and a model under another name: what a later run of their prompts may confirm."""

import shutil

import pytest

from harness.runner.context import How
from harness.runner.registration import register_specs
from harness.runner.run import run_eval
from harness.specs.local_paths import local_path
from harness.specs.spec_file import load
from harness.specs.targets import load_targets
from harness.store.tables.runs import Registrations
from tests.helpers.cli import exported, invoke
from tests.helpers.runs import quiet, run_on_organism
from tests.helpers.specs import write_few
from tests.helpers.store import query

REASONS = "SELECT spec_name, exploratory FROM runs ORDER BY created_at"
BARE = (
    "unadjusted: three families confirm\nclaims:\n"
    "  - {name: moved, behaviour: logit_difference, direction: greater}\n"
)


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A file with runs of two specs that share their prompts and were registered together."""
    folder = tmp_path_factory.mktemp("there")
    specs = [write_few(folder, "", BARE, "none", name) for name in ("few", "more")]
    register_specs([load(spec) for spec in specs], "organism", db=folder / "r.duckdb")
    for spec in specs:
        run_on_organism(spec, folder / "r.duckdb")
    return folder


@pytest.mark.parametrize("way", ["whole", "parquet"])
def test_an_imported_run_confirms_as_it_did_and_is_seen_by_later_specs(there, tmp_path, way):
    db, source = tmp_path / "here.duckdb", [there / "r.duckdb"]
    if way == "parquet":
        specs = ("few", "more")
        source = [exported(tmp_path / spec, there / "r.duckdb", spec)[0] for spec in specs]
    assert invoke("import", *source, "--db", db).exit_code == 0
    assert query(db, REASONS) == [("few", None), ("more", None)]
    registered = f"FROM {Registrations.table} ORDER BY ALL"
    assert query(db, registered) == query(there / "r.duckdb", registered)
    run_on_organism(there / "more.yaml", db)
    later = write_few(tmp_path, "", BARE, "none", "later")
    run_on_organism(later, db)
    (*_, (again, none), (name, reason)) = query(db, REASONS)
    assert (again, none, name) == ("more", None, "later")
    first = query(db, "SELECT run_id FROM runs ORDER BY created_at LIMIT 1")[0][0]
    assert f" prompts that it confirms on were seen in run {first} before" in reason


def test_the_model_under_another_name_is_the_same_target(there, tmp_path):
    db = shutil.copy(there / "r.duckdb", tmp_path / "r.duckdb")
    spec = write_few(tmp_path, "", BARE, "none", "later")
    model = local_path(load_targets()["organism"].model)
    renamed = f"targets: {{mine: {{layers: none, model: {model}}}}}"
    spec.write_text(spec.read_text().replace("targets: {organism: {layers: none}}", renamed))
    how = How(device="cpu")
    outcome = run_eval(load(spec), "mine", db=db, how=how, progress=quiet)
    assert " prompts that it confirms on were seen in run " in outcome.exploratory
    assert query(db, "SELECT count(DISTINCT target), count(DISTINCT model_hash) FROM runs") == [
        (2, 1)
    ]
