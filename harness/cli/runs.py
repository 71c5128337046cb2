"""Commands about stored runs: show, compare, repeat, export, import."""

import json
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from harness.cli import complete
from harness.cli.calls import OneOf
from harness.cli.options import (
    DB,
    JSON,
    OUTPUT_DIR,
    SNAPSHOT,
    WAIT,
    print_json,
    reporting,
)
from harness.faults import CannotRun, Fault, InputError

say = partial(click.echo, err=True)


def _reading(snapshot: bool, db: Path) -> Any:
    from harness.store import Store

    return (Store.open_snapshot if snapshot else Store.open_to_read)(db, say=say)


@click.command(short_help="Show a stored run: its verdicts, and what could change a number.")
@click.argument("run", default="latest", shell_complete=complete.runs)
@JSON
@SNAPSHOT
@DB
@reporting
def show(run: str, as_json: bool, snapshot: bool, db: Path) -> None:
    """Show a stored run: its verdicts, and everything that could change a number of it.

    RUN is an id, its beginning, a spec's name, or latest.

    \b
    harness show voices
    """
    from harness.records import Verdicts
    from harness.runs import find_run
    from harness.show import console, print_rows, run_table, told_verdict
    from harness.tables import finite

    with _reading(snapshot, db) as store:
        found = find_run(store, run)
        verdicts = [finite(row) for row in store.read(Verdicts, found["run_id"]).rows()]
    if as_json:
        spec = json.loads(found["spec"])
        print_json({**found, "spec": spec, "verdicts": verdicts})
        return
    out = console()
    out.print(run_table(found))
    names = ("claim", "verdict", "estimate", "ci_low", "ci_high", "unit", "p", "because")
    for row in verdicts:
        row["verdict"] = told_verdict(row["verdict"], found)
    print_rows(out, names, [[row[name] for name in names] for row in verdicts])


@click.command(short_help="Compare two runs, prompt by prompt: behaviour, impacts, verdicts.")
@click.argument("a", shell_complete=complete.runs)
@click.argument("b", default="latest", shell_complete=complete.runs)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as a page as well: one HTML file that loads nothing.",
)
@JSON
@SNAPSHOT
@DB
@reporting
def compare(a: str, b: str, report: Path | None, as_json: bool, snapshot: bool, db: Path) -> None:
    """Compare run B with run A, prompt by prompt: behaviour, impacts, verdicts.

    Both must have been asked the same prompts: another model, dtype or width of SAEs, say. A and B
    are ids, their beginnings, specs' names, or latest.

    \b
    harness compare 20260215-120000 20260215-130000
    harness compare 20260215-120000 20260215-130000 --report compared.html
    """
    from dataclasses import asdict

    from harness.compare import compare as compared
    from harness.runs import check_finished, find_run
    from harness.show import console, print_comparison

    with _reading(snapshot, db) as store:
        first, second = find_run(store, a), find_run(store, b)
        for one in (first, second):
            check_finished(one)
        if first["run_id"] == second["run_id"]:
            raise InputError(Fault(f"run {first['run_id']}", "it is both", "name two runs"))
        found = compared(store, first, second)
    if report is not None:
        from harness.files import write_page
        from harness.report import comparison_page

        say(str(write_page(report, comparison_page(found, db))))
    if as_json:
        print_json(asdict(found) | {"a": first["run_id"], "b": second["run_id"]})
    else:
        print_comparison(console(), found)


@click.command(short_help="Repeat a stored run and say whether the tables agree.")
@click.argument("run", shell_complete=complete.runs)
@click.option("--device", default="auto", show_default=True, help="As for `run`.")
@JSON
@DB
@WAIT
@reporting
def rerun(run: str, device: str, as_json: bool, db: Path, wait: float) -> None:
    """Repeat a stored run and say whether the tables agree; exits with 1 where they do not.

    It takes the spec and the prompts from the results file: theirs need not be there any more.

    \b
    harness rerun voices
    """
    from harness.repeat import rerun as repeated
    from harness.show import console, print_agreement, progress_on
    from harness.show.data import repeated_data

    out = console(sys.stderr if as_json else sys.stdout)
    with progress_on(out) as progress:
        found = repeated(
            run,
            db=db,
            wait=wait,
            device=device,
            progress=progress,
            say=partial(out.print, soft_wrap=True, markup=False),
        )
    if as_json:
        print_json(repeated_data(found))
    else:
        print_agreement(out, found)
    sys.exit(0 if found.agrees else 1)


@click.command(short_help="Write a stored run into a new folder.")
@click.argument("run", default="latest", shell_complete=complete.runs)
@click.option(
    "--format",
    "shape",
    type=OneOf(["poc", "parquet", "hub"]),
    default="parquet",
    show_default=True,
    help="poc: four JSON files of prompts, features, differences, ablations. parquet: every table, to "
    "be imported again. hub: the verdicts as a model's evaluation results.",
)
@OUTPUT_DIR
@click.option(
    "--topk_features",
    "--topk-features",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Of poc: features a prompt and layer.",
)
@click.option("--dataset", default="", help="Of hub: the Hub's dataset that holds the prompts.")
@SNAPSHOT
@DB
@reporting
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

    RUN is an id, its beginning, a spec's name, or latest.

    \b
    harness export voices --format poc
    harness export latest --format parquet --output_dir /tmp/exports
    """
    from harness.export import as_parquet, as_poc
    from harness.files import filled_folder
    from harness.records import Verdicts
    from harness.runs import check_finished, find_run

    if shape == "hub" and dataset.count("/") != 1:
        remedy = "give --dataset ORGANISATION/NAME, where the prompts are"
        raise InputError(Fault("--format hub", "a result is of a dataset on the Hub", remedy))
    with _reading(snapshot, db) as store:
        found = find_run(store, run)
        check_finished(found)
        with filled_folder(output_dir) as folder:
            if shape == "poc":
                as_poc(store, found, folder, top=topk_features, say=say)
            elif shape == "parquet":
                as_parquet(store, found, folder)
            else:
                from harness.hub_results import write_results

                write_results(found, store.read(Verdicts, found["run_id"]), folder, dataset)
    click.echo(folder)


@click.command("import", short_help="Put exported runs, or other results files, into this one.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@DB
@WAIT
@reporting
def import_(sources: tuple[Path, ...], db: Path, wait: float) -> None:
    """Put exported runs, or the runs of other results files, into the results file.

    SOURCES are folders that `harness export --format parquet` wrote, or other results files: of the
    machines of a cluster, say, each of which wrote its own.

    \b
    harness import runs/20260215_120000_000000
    harness import node1.duckdb node2.duckdb --db db/results.duckdb
    """
    from harness.export import from_parquet, from_results, read_export
    from harness.store import Store

    with ExitStack() as held:
        # All are looked at before the results file is, so that what is refused leaves no trace.
        found: list[Any] = []
        for source in sources:
            if source.is_dir():
                found.append(read_export(source))
            else:
                found.append(held.enter_context(_other(source, db)))
        with Store.open(db, wait=wait, say=say) as store:
            for one in found:
                several = isinstance(one, Store)
                taken = from_results(store, one, say) if several else [from_parquet(store, one)]
                for run_id in taken:
                    click.echo(run_id)


def _other(source: Path, db: Path) -> Any:
    """Another results file, to be read from a copy. Raises `InputError` where it is none."""
    from harness.store import Store

    remedy = "name a folder that `harness export` wrote, or a results file"
    if not source.exists():
        raise InputError(Fault(str(source), "there is no such file or folder", remedy))
    if source.resolve() == db.resolve():
        raise InputError(Fault(str(source), "it is the results file itself", remedy))
    try:
        return Store.open_snapshot(source, say=say)
    except CannotRun as error:
        raise InputError(*(Fault(f.where, f.what, remedy) for f in error.faults)) from None
