"""The options that commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.cli import completion
from harness.cli.parser import Decimal, OneOf, Whole
from harness.paths import DEFAULT_DB
from harness.specs.numbers import whole_number
from harness.store.interface import WAIT_SECONDS

DB = click.option(
    "--db",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_DB,
    show_default=True,
    help="The results file.",
)
OUTPUT_DIR = click.option(
    "--output_dir",
    "--output-dir",
    default="runs",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the new folder is made, named by the time.",
)
WAIT = click.option(
    "--wait",
    type=Decimal(0),
    default=WAIT_SECONDS,
    show_default=True,
    help="Seconds to wait where another process writes to the results file.",
)
JSON = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON and nothing else; notes and progress go to standard error.",
)
SNAPSHOT = click.option(
    "--snapshot", is_flag=True, help="Read a copy: works while a run is writing."
)
DTYPES = ("float32", "bfloat16", "float16")
DEVICE_OPTIONS = (
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="cuda, cuda:1, cpu or mps; `split` spreads the model over all of them.",
    ),
    click.option(
        "--dtype",
        type=OneOf(DTYPES),
        help="What the model computes in; the target's own when left out.",
    ),
    click.option(
        "--attn",
        "attention",
        type=OneOf(["eager", "sdpa"]),
        default="eager",
        show_default=True,
        help="How attention is computed; sdpa is refused where a model caps its scores.",
    ),
    click.option("--batch-size", type=Whole(1), help="Rows in one forward; else as memory allows."),
    click.option(
        "--threads", type=Whole(1), help="Threads of the processor's sums; else one a core."
    ),
)
MOCK_OPTIONS = (
    click.option(
        "--mock", is_flag=True, help="Random SAEs: a trial of the pipeline, evidence of nothing."
    ),
    click.option("--mock-if-missing", is_flag=True, help="The same, where the SAEs cannot be had."),
)


def how_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of everything that loads a model."""
    for option in reversed((*DEVICE_OPTIONS, *MOCK_OPTIONS)):
        command = option(command)
    return command


def how_of(options: dict[str, Any]) -> Any:
    """What was asked for, as `run_eval` takes it."""
    from harness.runner.context import How
    from harness.specs.targets import MOCKS

    given = {key: value for key, value in options.items() if value is not None}
    return How(**given | {"mock": MOCKS[0] if options["mock"] else ""})


def parse_numbers(_context: Any, _parameter: Any, text: str) -> tuple[int, ...]:
    """What an option says as numbers with commas between. Raises `click.BadParameter`."""
    try:
        return tuple(whole_number(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        what = f"'{text}' is no list of numbers"
        raise click.BadParameter(f"{what}; write them with commas between: 0,6,12") from None


def target_option(**settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--target`, completed with the targets of the spec."""
    return click.option("--target", shell_complete=completion.targets, **settings)
