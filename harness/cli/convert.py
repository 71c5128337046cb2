"""The command that makes safetensors of pickled weights."""

from pathlib import Path

import click

from harness.cli.exit_status import exit_with_status
from harness.cli.output import echo


@click.command(short_help="Write dictionaries' .pt files as safetensors.")
@click.argument("source", metavar="FILE_OR_FOLDER", type=click.Path(path_type=Path))
@click.argument("folder", metavar="OUT", type=click.Path(path_type=Path, file_okay=False))
@exit_with_status
def convert(source: Path, folder: Path) -> None:
    """Write a .pt file, or those of a folder, as safetensors into OUT, beside their configurations.

    The tensors are the same, and nothing in a file is run: one that would have to be is refused. Prints the
    SHA-256 of what is written and of what it was made from, as sha256sum does; the second is also in the
    metadata of what is written. `run` and `validate` read both kinds.

    \b
    harness convert saes/trainer_0/ae.pt converted
    harness convert saes converted
    """
    from harness.sae.conversion import convert as converted

    for one in converted(source, folder):
        for path, digest in one.digests.items():
            echo(f"{digest}  {path}")
