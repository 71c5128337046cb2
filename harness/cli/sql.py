"""Commands that ask the results file."""

import sys
from pathlib import Path
from typing import Any

import click

from harness.cli import completion
from harness.cli.exit_status import exit_with_status
from harness.cli.options import DB, SNAPSHOT
from harness.cli.output import echo, say, write_data
from harness.cli.parser import OneOf
from harness.cli.results_file import open_to_read
from harness.errors import Fault, InputError

FORMATS = ("table", "csv", "json", "markdown", "parquet")


@click.command(short_help="Ask the results file, in SQL or by a saved query's name.")
@click.argument("query", default="", shell_complete=completion.queries)
@click.option("--list", "listing", is_flag=True, help="List the saved queries.")
@click.option(
    "--run",
    default=None,
    shell_complete=completion.runs,
    help="Of a saved query: a run's id, its beginning, a spec, or latest.",
)
@click.option(
    "--run-a",
    "--run_a",
    default=None,
    shell_complete=completion.runs,
    help="The first of two runs.",
)
@click.option(
    "--run-b",
    "--run_b",
    default=None,
    shell_complete=completion.runs,
    help="The second of two runs.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    shell_complete=completion.settings,
    help="Another parameter.",
)
@click.option("--format", "shape", type=OneOf(FORMATS), default="table", show_default=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file, instead of the terminal.",
)
@SNAPSHOT
@DB
@exit_with_status
def sql(
    query: str,
    listing: bool,
    settings: tuple[str, ...],
    shape: str,
    output: Path | None,
    snapshot: bool,
    db: Path,
    **runs: str | None,
) -> None:
    """Ask the results file: QUERY is SQL, or the name of a saved query. It is only read.

    \b
    harness sql --list
    harness sql top_features --run latest --format markdown
    harness sql pairs_of_feature --run voices --set layer=3 --set feature=17
    harness sql "FROM latest_verdicts"
    """
    from harness.store.queries import RUNS, find_query, parse_value, saved_queries

    if listing:
        _print_queries(saved_queries().values())
        return
    from harness.store.find_run import LATEST, find_run

    if not query.strip():
        raise InputError(
            Fault("sql", "no query is given", "write one, or see `harness sql --list`")
        )
    if output is not None and output.resolve() == db.resolve():
        raise InputError(Fault(f"--output {output}", "it is the results file", "name another"))
    saved = find_query(query)
    given = {name: value for name, value in runs.items() if value is not None}
    given |= dict(_parse_setting(text) for text in settings)
    # A saved query says of what type its parameters are.
    convert = str if saved else parse_value
    with open_to_read(db, snapshot=snapshot) as store:
        text = saved.sql if saved else query
        wanted = store.parameters(text) if not saved else set()
        # SQL of one's own may use $run as well.
        values = saved.fill(given) if saved else dict.fromkeys(wanted & {"run"}, LATEST) | given
        if not saved and (extra := sorted(set(given) - wanted)):
            raise InputError(Fault("query", f"it has no parameter ${extra[0]}", "leave it out"))
        table = (store.table if saved else store.ask)(
            text,
            {
                name: find_run(store, value)["run_id"] if name in RUNS else convert(value)
                for name, value in values.items()
            },
        )
        if saved and not table.num_rows:
            _check_claim(store, values)
            say(f"no rows: {saved.name} of {', '.join(f'{k} {v}' for k, v in values.items())}")
    _print(table, shape, output)


def _check_claim(store: Any, values: dict[str, str]) -> None:
    """Raises `InputError` where a run has no claim of that name."""
    from harness.errors import nearest
    from harness.store.find_run import find_run
    from harness.store.tables.results import Verdicts

    if "claim" in values:
        run_id = find_run(store, values["run"])["run_id"]
        known = set(store.read(Verdicts, run_id).claim)
        if values["claim"] not in known:
            what = f"run {run_id} has no claim '{values['claim']}'"
            raise InputError(Fault("--set claim", what, nearest(values["claim"], known)))


def _print_queries(queries: Any) -> None:
    for query in queries:
        echo(f"{query.name}\n    {query.about}")
        for parameter in query.parameters:
            option = (
                f"--{parameter.name.replace('_', '-')}"
                if parameter.name.startswith("run")
                else f"--set {parameter.name}="
            )
            default = "" if parameter.default is None else f" (default: {parameter.default})"
            echo(f"    {option:<16}{parameter.meaning}{default}")


def _parse_setting(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark:
        raise InputError(Fault(f"--set {text}", "it has no value", "write --set name=value"))
    return name.strip(), value


def _print(table: Any, shape: str, output: Path | None) -> None:
    """A query's rows in the format that is asked for."""
    from harness.reports.terminal.progress import console
    from harness.reports.terminal.tables import print_rows
    from harness.store.export import files
    from harness.store.export.query_text import WRITERS, as_markdown
    from harness.store.values import python_rows

    if shape == "parquet":
        from harness.store.export import parquet

        if output is None:
            raise InputError(
                Fault("--format parquet", "it is no text", "name a file with --output")
            )
        parquet.write(table, output)
        return
    names, rows = python_rows(table)
    if shape == "table" and output is None:
        # Elsewhere than on a terminal a row is a line, however long.
        print_rows(console(width=10_000), names, rows)
        return
    text = WRITERS.get(shape, as_markdown)(names, rows)
    if output is not None:
        files.write_text(output, [text])
    elif shape == "csv" and not sys.stdout.isatty():
        write_data(text)  # CSV has no escapes: a program is given what is stored
    else:
        sys.stdout.write(text)
