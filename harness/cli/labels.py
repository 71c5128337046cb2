"""The one command that asks Neuronpedia."""

from dataclasses import astuple
from pathlib import Path

import click

from harness.cli import completion
from harness.cli.exit_status import exit_with_status
from harness.cli.options import DB, WAIT
from harness.cli.output import say
from harness.cli.parser import Whole


@click.command(short_help="Fetch what Neuronpedia says that a run's features mean.")
@click.argument("run", default="latest", shell_complete=completion.runs)
@click.option(
    "--limit",
    type=Whole(1),
    default=50,
    show_default=True,
    help="How many features are asked for, at most: two a second.",
)
@click.option("--again", is_flag=True, help="Ask for those too that are known.")
@DB
@WAIT
@exit_with_status
def label(run: str, limit: int, again: bool, db: Path, wait: float) -> None:
    """Fetch what Neuronpedia says that a run's features mean: of those edited and the 20 strongest.

    RUN is an id, its beginning, a spec's name, or latest. An explanation is somebody else's, mostly a
    model's: nothing is tested with it. It is kept in the results file, and asked for once.
    NEURONPEDIA_API_KEY is sent where it is set.

    \b
    harness label voices
    harness sql top_features --run voices
    """
    from harness.reports.labels import label_features
    from harness.reports.neuronpedia import Neuronpedia
    from harness.reports.terminal.progress import console
    from harness.reports.terminal.tables import rows_table
    from harness.store.database import Store
    from harness.store.find_run import check_finished, find_run

    with Store.open(db, create=False, wait=wait, say=say) as store:
        stored = find_run(store, run)
        check_finished(stored)
        with Neuronpedia() as neuronpedia:
            labels = label_features(store, stored, neuronpedia, limit=limit, again=again, say=say)
    names = ("layer", "feature", "label", "explainer")
    console(width=10_000).print(rows_table(names, [astuple(one) for one in labels]))
