"""The proof of concept's single steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.cli import completion
from harness.cli.exit_status import exit_with_status
from harness.cli.options import DB, DEVICE_OPTIONS, MOCK_OPTIONS, OUTPUT_DIR, how_of, parse_numbers
from harness.cli.output import echo, say
from harness.cli.parser import OneOf, Whole


def _step_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a single step, by the proof of concept's names."""

    def both(name: str, **settings: Any) -> Any:
        return click.option(f"--{name}", f"--{name.replace('_', '-')}", name, **settings)

    options = (
        both("model_name", default="google/gemma-2-2b", show_default=True, help="Or a target."),
        both("sae_repo", help="A repository or folder of SAEs; the target's own when left out."),
        click.option("--prompts", default="data/prompts_physics.jsonl", show_default=True),
        OUTPUT_DIR,
        click.option(
            "--seed", type=Whole(0), default=42, show_default=True, help="Of random SAEs."
        ),
        *DEVICE_OPTIONS,
        MOCK_OPTIONS[0],
    )
    for option in reversed(options):
        command = option(command)
    return command


def _step(options: dict[str, Any], layers: tuple[int, ...] = ()) -> Any:
    from harness.reports.terminal.progress import PlainProgress
    from harness.runner.single_steps import Step

    names = ("device", "dtype", "attention", "batch_size", "mock")
    return Step(
        model=options["model_name"],
        sae=options["sae_repo"],
        layers=layers,
        prompts=options["prompts"],
        output=options["output_dir"],
        seed=options["seed"],
        how=how_of({name: options[name] for name in names}),
        say=say,
        progress=PlainProgress(say),
    )


@click.command(short_help="Write what the model says to each prompt.")
@_step_options
@click.option("--max_new_tokens", "--max-new-tokens", type=Whole(1), default=10, show_default=True)
@exit_with_status
def prompts(max_new_tokens: int, **options: Any) -> None:
    """Write what the model says to each prompt to OUTPUT_DIR/<time>/results.jsonl.

    Greedily, with the 50 best logits of each step; no SAE is read.

    \b
    harness prompts --model_name google/gemma-2-2b --max_new_tokens 10
    """
    from harness.runner import single_steps as steps

    # `--prompts` is the file of them.
    echo(steps.prompts(_step(options), new_tokens=max_new_tokens))


@click.command(short_help="Write each prompt's strongest features.")
@_step_options
@click.option(
    "--layers_to_hook",
    "--layers-to-hook",
    default="",
    callback=parse_numbers,
    help="Layers, as 0,6,12,18,24; the target's own when left out.",
)
@click.option("--topk_features", "--topk-features", type=Whole(1), default=20, show_default=True)
@click.option(
    "--at",
    type=OneOf(["answer", "last_prompt_token", "prompt", "all"]),
    default="answer",
    show_default=True,
    help="Where features are read; several positions are averaged.",
)
@exit_with_status
def extract(layers_to_hook: tuple[int, ...], topk_features: int, at: str, **options: Any) -> None:
    """Write each prompt's strongest features to OUTPUT_DIR/<time>/features.jsonl.

    Without SAE weights it goes on with random directions and says so.

    \b
    harness extract --layers_to_hook 0,6,12 --topk_features 20
    harness extract --model_name organism --mock
    """
    from harness.runner import single_steps as steps

    echo(steps.extract(_step(options, layers_to_hook), top=topk_features, at=at))


@click.command(short_help="Write which features differ most between two sides.")
@click.option(
    "--run_dir_a",
    "--run-dir-a",
    required=True,
    shell_complete=completion.runs,
    help="A run, or a folder of `extract`.",
)
@click.option(
    "--run_dir_b",
    "--run-dir-b",
    shell_complete=completion.runs,
    help="Another; the variants of A's pairs when left out.",
)
@click.option("--topk_features", "--topk-features", type=Whole(1), default=20, show_default=True)
@click.option(
    "--output_path",
    "--output-path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="OUTPUT_DIR/<time>/diff_report.json when left out.",
)
@OUTPUT_DIR
@DB
@exit_with_status
def diff(
    run_dir_a: str,
    run_dir_b: str | None,
    topk_features: int,
    output_path: Path | None,
    output_dir: Path,
    db: Path,
) -> None:
    """Write which features differ most between two sides to diff_report.json. It tests nothing.

    The sides are the variants of each pair, where one run is named or A and B have different
    variants; else the same prompts in A and B.

    \b
    harness diff --run_dir_a voices
    harness diff --run_dir_a runs/20260215_120000 --run_dir_b runs/20260215_120100
    """
    from harness.runner import single_steps as steps

    report = steps.diff(run_dir_a, run_dir_b, top=topk_features, db=db, say=say)
    echo(steps.write_diff(report, output_path, output_dir))


@click.command(short_help="Write what removing one feature does to the answers.")
@_step_options
@click.option("--layer", type=Whole(0), required=True)
@click.option("--feature_id", "--feature-id", type=Whole(0), required=True)
@exit_with_status
def ablate(layer: int, feature_id: int, **options: Any) -> None:
    """Remove one feature; write OUTPUT_DIR/<time>/ablation_report.json.

    Without SAE weights it goes on with random directions and says so.

    \b
    harness ablate --layer 12 --feature_id 4567
    """
    from harness.runner import single_steps as steps

    echo(steps.ablate(_step(options), layer=layer, feature=feature_id))
