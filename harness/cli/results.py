"""Commands about the results file."""

import csv
import json
import sys
from pathlib import Path

import click

from harness.cli.options import DB, reporting


@click.command()
@click.argument("query")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
)
@DB
@reporting
def sql(query: str, shape: str, db: Path) -> None:
    """Query the results file, read-only.

    \b
    harness sql "FROM latest_verdicts"
    harness sql "FROM top_features LIMIT 10" --format csv
    """
    from harness.store import Store

    with Store.open_to_read(db) as store:
        names, rows = store.query(query)
    if shape == "table":
        from harness.show import console, rows_table

        console().print(rows_table(names, rows))
    elif shape == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
    else:
        click.echo(
            json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2, default=str)
        )
