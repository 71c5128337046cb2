"""What runs in processes of its own, so that tests can kill them, lock them out and starve them."""

import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from harness.runner import checkpoint
from harness.runner.context import How
from harness.runner.run import run_eval
from harness.specs.spec_file import load
from harness.store import database_file
from harness.store.database import Store
from harness.store.tables.observations import Activations
from harness.store.tables.runs import Units


def run(spec, db):
    """A whole run, as `harness run` does it, that commits whatever is done: it is soon over."""
    checkpoint.EVERY = 0.0
    run_eval(
        load(spec),
        "organism",
        db=db,
        how=How(device="cpu", batch_size=8),
        progress=lambda stage, done, total: None,
    )


def unit_and_rows(name, rows):
    """A ledger line that says how many rows were written with it."""
    return (
        Activations(
            run_id=["r"] * rows,
            prompt_id=[name] * rows,
            layer=np.ones(rows, int),
            readout=["x"] * rows,
            feature=np.arange(rows),
            value=np.linspace(0.1, 1, rows),
            origin=["mock"] * rows,
        ),
        Units.of(
            [
                {
                    "run_id": "r",
                    "unit_id": name,
                    "stage": "observe",
                    "family": "f",
                    "ablation": "",
                    "finished_at": datetime.now(UTC),
                    "seconds": float(rows),
                }
            ]
        ),
    )


def write_for_ever(db, threshold):
    """Commit units of many sizes, with a checkpoint whenever so much was written."""
    random = np.random.default_rng(0)
    # Of this process alone; an open connection's configuration is locked.
    database_file._OPTIONS["checkpoint_threshold"] = threshold
    with Store.open(db) as store:
        number = 0
        while True:
            store.commit(*unit_and_rows(f"u{number}", int(random.integers(1, 20_000))))
            number += 1


def hold(db, seconds):
    """Keep the file open for writing, and say so."""
    with Store.open(db):
        print("open", flush=True)
        time.sleep(seconds)


def count(db):
    """Read along with others."""
    with Store.open_to_read(db) as store:
        time.sleep(0.5)
        assert store.query("SELECT count(*) FROM units")[1] == [(1,)]


if "WARM" in os.environ:
    # In the process that others are forked from: they have the model then, and all that is compiled.
    with tempfile.TemporaryDirectory() as folder:
        run(os.environ["WARM"], Path(folder) / "r.duckdb")

if __name__ == "__main__":
    hold(sys.argv[1], float(sys.argv[2]))
