"""Commands about stored runs: show, compare, repeat."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import completion
from harness.cli.cluster_options import who_of, worker_options
from harness.cli.exit_status import NOT_SUPPORTED, SUPPORTED, exit_with_status
from harness.cli.options import DB, JSON, SNAPSHOT, WAIT
from harness.cli.output import print_json, say
from harness.cli.results_file import open_to_read

if TYPE_CHECKING:
    from harness.store.find_run import Run
    from harness.store.interface import ReadStore


@click.command(short_help="Show a stored run: its verdicts, and what could change a number.")
@click.argument("run", default="latest", shell_complete=completion.runs)
@JSON
@SNAPSHOT
@DB
@exit_with_status
def show(run: str, as_json: bool, snapshot: bool, db: Path) -> None:
    """Show a stored run: its verdicts, and everything that could change a number of it.

    RUN is an id, its beginning, a spec's name, or latest. Of SPEC/ABLATION it is
    shown what is known of the features that the ablation edits.

    \b
    harness show voices
    harness show voices/top
    """
    from dataclasses import asdict

    from harness.analysis.cautions import cautions_of
    from harness.characters import one_line
    from harness.reports.terminal.progress import console
    from harness.reports.terminal.runs import run_table
    from harness.reports.terminal.tables import print_rows
    from harness.reports.text import caution_text, verdict_with_trial
    from harness.store.find_run import find_run
    from harness.store.stored_spec import spec_mapping
    from harness.store.tables.results import Verdicts
    from harness.store.values import json_value

    if "/" in run:
        _show_set(run, as_json, snapshot, db)
        return
    with open_to_read(db, snapshot=snapshot) as store:
        stored = find_run(store, run)
        verdicts = [json_value(row) for row in store.read(Verdicts, stored["run_id"]).rows()]
        cautions = cautions_of(store, stored["run_id"], stored["target"])
        lines, beside = _of_sets(store, stored)
    if as_json:
        for row in verdicts:
            row["cautions"] = [asdict(one) for one in cautions.get(row["claim"], ())]
        print_json({**stored, "spec": spec_mapping(stored), "verdicts": verdicts, **beside})
        return
    out = console()
    out.print(run_table(stored))
    names = ("claim", "verdict", "estimate", "ci_low", "ci_high", "unit", "p", "because")
    for row in verdicts:
        row["verdict"] = verdict_with_trial(row["verdict"], stored)
    print_rows(out, names, [[row[name] for name in names] for row in verdicts])
    for line in lines:
        out.print(one_line(line))
    for claim, some in cautions.items():
        for one in some:
            line = one_line(f"caution: {claim} {caution_text(one)}")
            out.print(line, style="yellow", soft_wrap=True)


def _of_sets(store: "ReadStore", run: "Run") -> tuple[list[str], dict[str, Any]]:
    """What a run found of the sets that it edits beside its verdicts: as lines, and as plain data."""
    from harness.reports.sufficiency import sufficiency_panels
    from harness.reports.text import set_lines
    from harness.reports.transfers import transfer_panels
    from harness.store.tables.interventions import MatchedFeatures
    from harness.store.tables.results import CrossfitSplits, InjectionTests, SelectionOverlap
    from harness.store.values import json_value

    overlaps = list(store.read(SelectionOverlap, run["run_id"]).rows())
    enough = sufficiency_panels(store, run)
    tests = map(json_value, store.read(InjectionTests, run["run_id"]).rows())
    injected = [row for row in tests if row["feature"] is None]
    splits = map(json_value, store.read(CrossfitSplits, run["run_id"]).rows())
    matched = map(json_value, store.read(MatchedFeatures, run["run_id"]).rows())
    lines = set_lines(overlaps, injected)
    moved = transfer_panels(store, run)
    lines += [f"{name}: {panel.says}" for each in (enough, moved) for name, panel in each.items()]
    return lines, {
        "stability": overlaps,
        "sufficiency": [row for panel in enough.values() for row in panel.rows],
        "tokens": injected,
        "crossfit": list(splits),
        "matched": list(matched),
        "transfers": [row for panel in moved.values() for row in panel.rows],
    }


def _show_set(name: str, as_json: bool, snapshot: bool, db: Path) -> None:
    from harness.reports.known_sets import known_set
    from harness.reports.terminal.known_sets import print_known_set
    from harness.reports.terminal.progress import console

    with open_to_read(db, snapshot=snapshot) as store:
        found = known_set(store, name)
    if as_json:
        print_json(found.data)
    else:
        print_known_set(console(), found)


@click.command(short_help="Compare two runs, prompt by prompt: behaviour, impacts, verdicts.")
@click.argument("a", shell_complete=completion.runs)
@click.argument("b", default="latest", shell_complete=completion.runs)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as a page as well: one HTML file that loads nothing.",
)
@JSON
@SNAPSHOT
@DB
@exit_with_status
def compare(a: str, b: str, report: Path | None, as_json: bool, snapshot: bool, db: Path) -> None:
    """Compare run B with run A, prompt by prompt: behaviour, impacts, verdicts.

    Both must have been asked the same prompts: another model, dtype or width of SAEs, say. A and B
    are ids, their beginnings, specs' names, or latest.

    \b
    harness compare 20260215-120000 20260215-130000
    harness compare 20260215-120000 20260215-130000 --report compared.html
    """
    from dataclasses import asdict

    from harness.analysis.comparison import compare as compared
    from harness.reports.terminal.progress import console
    from harness.reports.terminal.runs import print_comparison
    from harness.store.find_run import find_two_runs

    with open_to_read(db, snapshot=snapshot) as store:
        first, second = find_two_runs(store, a, b)
        comparison = compared(store, first, second)
    if report is not None:
        from harness.reports.html.comparison_page import comparison_page
        from harness.store.export.files import write_page

        say(str(write_page(report, comparison_page(comparison, db))))
    if as_json:
        print_json(asdict(comparison) | {"a": first["run_id"], "b": second["run_id"]})
    else:
        print_comparison(console(), comparison)


@click.command(short_help="Repeat a stored run and say whether the tables agree.")
@click.argument("run", shell_complete=completion.runs)
@click.option("--device", default="auto", show_default=True, help="As for `run`.")
@worker_options
@JSON
@DB
@WAIT
@exit_with_status
def rerun(run: str, device: str, as_json: bool, db: Path, wait: float, **workers: Any) -> None:
    """Repeat a stored run and say whether the tables agree; exits with 1 where they do not.

    It takes the spec and the prompts from the results file: theirs need not be there any more.

    \b
    harness rerun voices
    harness rerun voices --workers 2
    """
    from harness.cli.cluster import engine_of
    from harness.reports.plain_data import repeated_data
    from harness.reports.terminal.progress import console, progress_on
    from harness.reports.terminal.runs import print_agreement
    from harness.runner.rerun import rerun as repeated

    out, who = console(sys.stderr if as_json else sys.stdout), who_of(workers)
    with progress_on(out) as progress:
        result = repeated(
            run,
            db=db,
            wait=wait,
            device=device,
            engaged=lambda how: engine_of(who, how, out.note),
            progress=progress,
            say=out.note,
        )
    if as_json:
        print_json(repeated_data(result))
    else:
        print_agreement(out, result)
    sys.exit(SUPPORTED if result.agrees else NOT_SUPPORTED)
