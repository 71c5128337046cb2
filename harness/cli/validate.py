"""The command that holds a model and its SAEs against what every run takes for granted."""

import sys
from pathlib import Path
from typing import Any

import click

from harness.cli import completion
from harness.cli.exit_status import CANNOT_RUN, exit_with_status
from harness.cli.options import DEVICE_OPTIONS, JSON, parse_numbers
from harness.cli.output import echo, print_json, say

MARKS = {True: "ok", False: "no", None: "--"}


@click.command(short_help="Measure whether a model is read as it is by itself.")
@click.argument("model", metavar="TARGET_OR_MODEL", shell_complete=completion.models)
@click.argument("sae", default="")
@click.option("--layers", default="", callback=parse_numbers, help="Of the SAEs, as 0,6,12.")
@click.option(
    "--spec", default="", shell_complete=completion.specs, help="Whose targets are known."
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file of prompts; a few built-in ones when left out.",
)
@JSON
@exit_with_status
def validate(
    model: str,
    sae: str,
    layers: tuple[int, ...],
    spec: str,
    prompts: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure whether a model is read, edited and scored here as it is by itself, and whether SAEs fit it.

    TARGET_OR_MODEL is a target's name, a folder, a GGUF file or a repository; SAE a folder, a file or a
    repository in the place of the target's own. Exits with 3 where a check does not hold.

    \b
    harness validate organism
    harness validate ./models/mine ./saes/layer_5/params.npz --layers 5
    """
    from harness.reports.terminal.width import hanging_indent, terminal_columns
    from harness.runner.validation.validate import validate as measure

    found = measure(
        model, sae, layers=layers, spec=spec, prompts=prompts or "", say=say,
        **{name: value for name, value in options.items() if value is not None},
    )  # fmt: skip
    if as_json:
        print_json(found.plain())
    else:
        width = terminal_columns(sys.stdout)
        revision = f" {found.revision}" if found.revision else ""
        echo(f"{found.target}: {found.model}{revision}, {found.dtype} on {found.device}")
        named = [(_name(check.name, check.layer), check) for check in found.checks]
        widest = max(len(name) for name, _ in named)
        for name, check in named:
            text = check.found if check.holds else f"{check.found} [expected: {check.expected}]"
            text = check.found if check.holds is None else text
            echo(hanging_indent(f"  {MARKS[check.holds]} {name:<{widest}}  ", text, width))
        wrong = sum(check.holds is False for check in found.checks)
        echo(f"{wrong} of {len(named)} checks do not hold" if wrong else "All checks hold.")
    if not found.holds:
        sys.exit(CANNOT_RUN)


def _name(name: str, layer: int | None) -> str:
    return name if layer is None else f"layer {layer}: {name}"


for option in reversed(DEVICE_OPTIONS[:3]):
    validate = option(validate)
