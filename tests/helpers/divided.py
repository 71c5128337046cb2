"""A small eval whose stages have several groups each, and what became of it wherever it was run."""

from functools import partial
from pathlib import Path

from harness.runner.context import How
from harness.runner.run import run_eval
from harness.specs.spec_file import load
from harness.store.database import Store
from tests.helpers import ROOT
from tests.helpers.runs import quiet
from tests.helpers.specs import SMALL_SPEC

# Rows of a forward: so few that what is done together is a part of a stage.
ON = How(device="cpu", batch_size=2, threads=1)


def write_specs(folder: Path, *names: str) -> list[Path]:
    """Specs of one prompt file, alike but for their names."""
    lines = (ROOT / "data" / "voices.jsonl").read_text().splitlines()
    some = [line for line in lines if "-named" in line][:24]
    (folder / "few.jsonl").write_text("\n".join(some))
    paths = [folder / f"{name}.yaml" for name in names]
    for path in paths:
        path.write_text(SMALL_SPEC.replace("name: few\n", f"name: {path.stem}\n"))
    return paths


def tables_of(db: Path) -> dict[str, list]:
    """The fingerprints of each finished run's tables, by its spec."""
    with Store.open_to_read(db) as store:
        runs = store.query("SELECT spec_name, run_id FROM runs WHERE status = 'finished'")[1]
        return {name: store.query("FROM fingerprints($run)", {"run": run})[1] for name, run in runs}


run_it = partial(run_eval, target="organism", how=ON, progress=quiet)


def in_process(spec: Path, db: Path) -> dict[str, list]:
    """The tables of a run in this process."""
    run_it(load(spec), db=db)
    return tables_of(db)
