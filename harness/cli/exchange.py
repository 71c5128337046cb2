"""Commands that write stored runs for other programs, and read them back."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from harness.cli import completion
from harness.cli.exit_status import exit_with_status
from harness.cli.options import DB, OUTPUT_DIR, SNAPSHOT, WAIT
from harness.cli.output import echo, say
from harness.cli.parser import OneOf, Whole
from harness.cli.results_file import open_other, open_to_read
from harness.errors import Fault, InputError


@click.command(short_help="Write a stored run into a new folder.")
@click.argument("run", default="latest", shell_complete=completion.runs)
@click.option(
    "--format",
    "shape",
    type=OneOf(["poc", "parquet", "parts", "hub"]),
    default="parquet",
    show_default=True,
    help="poc: four JSON files of prompts, features, differences, ablations. parquet: every table, to "
    "be imported again. parts: the same by run and layer, added to OUTPUT_DIR itself, where --db "
    "OUTPUT_DIR/parts.duckdb asks all its runs. hub: the verdicts as a model's evaluation results.",
)
@OUTPUT_DIR
@click.option(
    "--topk_features",
    "--topk-features",
    type=Whole(1),
    default=20,
    show_default=True,
    help="Of poc: features a prompt and layer.",
)
@click.option("--dataset", default="", help="Of hub: the Hub's dataset that holds the prompts.")
@SNAPSHOT
@DB
@exit_with_status
def export(
    run: str,
    shape: str,
    output_dir: Path,
    topk_features: int,
    dataset: str,
    snapshot: bool,
    db: Path,
) -> None:
    """Write a stored run into a new folder OUTPUT_DIR/<time>, and print the folder.

    RUN is an id, its beginning, a spec's name, or latest; of parts also all.

    \b
    harness export voices --format poc
    harness export latest --format parquet --output_dir /tmp/exports
    harness export all --format parts --output_dir /data/runs
    """
    if shape == "parts":
        _add_parts(run, output_dir, db, snapshot=snapshot)
        return
    from harness.store.export.files import filled_folder
    from harness.store.export.parquet_runs import export_parquet
    from harness.store.export.poc import export_poc
    from harness.store.find_run import check_finished, find_run
    from harness.store.tables.results import Verdicts

    if shape == "hub" and dataset.count("/") != 1:
        remedy = "give --dataset ORGANISATION/NAME, where the prompts are"
        raise InputError(Fault("--format hub", "a result is of a dataset on the Hub", remedy))
    with open_to_read(db, snapshot=snapshot) as store:
        stored = find_run(store, run)
        check_finished(stored)
        with filled_folder(output_dir) as folder:
            if shape == "poc":
                export_poc(store, stored, folder, top=topk_features, say=say)
            elif shape == "parquet":
                export_parquet(store, stored, folder)
            else:
                from harness.store.export.hub_results import write_results

                write_results(stored, store.read(Verdicts, stored["run_id"]), folder, dataset)
    echo(folder)


def _add_parts(run: str, folder: Path, db: Path, *, snapshot: bool) -> None:
    """Add a stored run, or all that are finished, to a folder of parts."""
    from harness.store.export.parts import MEMORY, add_run
    from harness.store.find_run import check_finished, find_run
    from harness.store.tables.runs import Runs

    with open_to_read(db, snapshot=snapshot, memory=MEMORY) as store:
        every = run == "all"
        for stored in store.read(Runs).rows() if every else [find_run(store, run)]:
            run_id = stored["run_id"]
            if every and stored["status"] != "finished":
                say(f"{run_id} is not finished: left out")
                continue
            check_finished(stored)
            home = add_run(store, stored, folder)
            if home is None:
                say(f"{run_id} is here already: left out")
            else:
                echo(home)


@click.command("import", short_help="Put exported runs, or other results files, into this one.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@DB
@WAIT
@exit_with_status
def import_(sources: tuple[Path, ...], db: Path, wait: float) -> None:
    """Put exported runs, or the runs of other results files, into the results file.

    SOURCES are folders that `harness export` wrote as parquet or parts, of these also one run's, or other
    results files: of the machines of a cluster, say, each of which wrote its own. A folder that
    `harness run --shard` wrote is one run: its verdicts are drawn and printed, and the exit status is theirs.

    \b
    harness import runs/20260215_120000_000000
    harness import node1.duckdb node2.duckdb --db db/results.duckdb
    harness import parts/voices-organism-1f0c6a2b9d3e-of-16
    """
    divided: list[Path] = []
    whole: list[Path] = []
    for source in sources:
        # A folder of parts, or one of such folders.
        runs = [source, *sorted(source.glob("*"))] if source.is_dir() else []
        parts = [folder for folder in runs if (folder / "run.json").exists()]
        divided += parts
        whole += [] if parts else [source]
    if whole:
        _import(tuple(whole), db, wait)
    if divided:
        sys.exit(_join(divided, db, wait))


def _join(folders: list[Path], db: Path, wait: float) -> int:
    """The status of the verdicts of runs whose shards are joined."""
    from functools import partial

    from harness.cli.exit_status import NOT_SUPPORTED, SUPPORTED
    from harness.reports.terminal.progress import console, progress_on
    from harness.reports.terminal.verdicts import print_verdicts
    from harness.runner.shards.run_shard import join_shards, register_shards
    from harness.store.database import Store

    out = console()
    outcomes = []
    if len(folders) > 1:
        # Before the first of them is there: they may confirm on the same prompts.
        register_shards(folders, partial(Store.open, db, wait=wait, say=out.note))
    for folder in folders:
        opened = partial(Store.open, db, wait=wait, say=out.note)
        with progress_on(out) as progress:
            outcomes.append(join_shards(folder, opened, progress=progress))
    print_verdicts(out, outcomes)
    return SUPPORTED if all(one.all_supported for one in outcomes) else NOT_SUPPORTED


def _import(sources: tuple[Path, ...], db: Path, wait: float) -> None:
    """Runs of exports and of other results files, whole as they are."""
    from harness.store.database import Store
    from harness.store.export.parquet_runs import import_results, import_runs, read_export
    from harness.store.export.parts import read_parts, runs_in

    with ExitStack() as held:
        # All are looked at before the results file is, so that what is refused leaves no trace.
        opened: list[Any] = []
        for source in sources:
            if homes := runs_in(source):
                opened.append([read_parts(home) for home in homes])
            elif source.is_dir():
                opened.append([read_export(source)])
            else:
                opened.append(held.enter_context(open_other(source, db)))
        with Store.open(db, wait=wait, say=say) as store:
            for one in opened:
                of_file = isinstance(one, Store)
                for run_id in (import_results if of_file else import_runs)(store, one, say):
                    echo(run_id)
