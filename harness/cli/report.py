"""The command that writes a run's report."""

from pathlib import Path

import click

from harness.cli import completion
from harness.cli.exit_status import exit_with_status
from harness.cli.options import DB, SNAPSHOT
from harness.cli.output import echo
from harness.cli.results_file import open_to_read


@click.command(short_help="Write a run's report: one HTML file that loads nothing.")
@click.argument("run", default="latest", shell_complete=completion.runs)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file; reports/RUN_ID.html when left out.",
)
@SNAPSHOT
@DB
@exit_with_status
def report(run: str, output: Path | None, snapshot: bool, db: Path) -> None:
    """Write a run's report, one HTML file that loads nothing from a network, and print its path.

    RUN is an id, its beginning, a spec's name, or latest. The question and the verdicts come first,
    then behaviour, features, ablations, the SAEs' health, power, and how to repeat the run. A report
    of two runs: `harness compare A B --report FILE`.

    \b
    harness report voices
    harness report 20260215-120000 --output /tmp/report.html
    """
    from harness.reports.html.run_page import run_page
    from harness.store.export.files import write_page, write_report
    from harness.store.find_run import find_run

    with open_to_read(db, snapshot=snapshot) as store:
        stored = find_run(store, run)
        page = run_page(store, stored, db)
    echo(write_page(output, page) if output else write_report(stored["run_id"], page))
