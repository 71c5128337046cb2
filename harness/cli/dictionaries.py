"""The command about SAELens' registry: what a spec can name with `sae: saelens:RELEASE`."""

from pathlib import Path
from typing import Any

import click

from harness.cli.exit_status import exit_with_status
from harness.cli.options import JSON
from harness.cli.output import echo, print_json, say

# What of a row stands in no column of the terminal's.
_ASIDE = ("repository", "path", "neuronpedia", "label", "why not")


@click.command(short_help="List the published dictionaries of SAELens' registry.")
@click.argument("name", default="")
@click.option("--counts", is_flag=True, help="How many there are by loader and hook.")
@click.option(
    "--refresh",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Take the registry of this wheel of sae-lens, or pretrained_saes.yaml, from now on.",
)
@JSON
@exit_with_status
def dictionaries(name: str, counts: bool, refresh: Path | None, as_json: bool) -> None:
    """List the published dictionaries of SAELens' registry, which specs name by `sae: saelens:RELEASE`.

    NAME is a release, whose ids are listed, or a word in the names of releases or models; without it
    every release is. A registry that is taken in is kept in the folder of your settings.

    \b
    harness dictionaries qwen
    harness dictionaries gemma-scope-2b-pt-res-canonical
    harness dictionaries --refresh sae_lens-6.54.12-py3-none-any.whl
    """
    from harness.specs import saelens, saelens_listing, saelens_refresh

    if refresh is not None:
        count = saelens_refresh.refresh(refresh, saelens.user_table())
        say(f"{count:,} dictionaries in {saelens.user_table()}")
        return
    there = saelens.dictionaries()
    if counts:
        rows = saelens_listing.counts(there)
    else:
        rows = saelens_listing.members(there, name) or saelens_listing.releases(there, name)
    if as_json:
        print_json(rows)
        return
    _print(rows)
    read = sum(not one.why_not for one in there)
    if counts:
        echo(f"{read:,} of {len(there):,} can be read, {read / len(there):.1%}")


def _print(rows: list[dict[str, Any]]) -> None:
    """Rows in columns; the reason why some are not read stands at the end of its line."""
    names = [name for name in rows[0] if name not in _ASIDE]
    cells = [names] + [
        ["" if row[name] is None else str(row[name]) for name in names] for row in rows
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line, row in zip(cells, [None, *rows], strict=True):
        parts = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        echo("  ".join([*parts, row["why not"] if row else ""]).rstrip())
