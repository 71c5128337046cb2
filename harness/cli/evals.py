"""Commands about specs and their runs."""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import DB, WAIT, how_of, how_options, reporting
from harness.faults import Fault, HarnessError, InputError

if TYPE_CHECKING:
    from harness.conclude import Outcome


@click.command()
@click.argument("specs", nargs=-1, required=True)
@reporting
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


@click.command()
@click.argument("spec")
@click.option("--target", default="", help="One of the spec's targets; its first when left out.")
@click.option("--json", "as_json", is_flag=True, help="For a script to read.")
@reporting
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
        }
        | ({"trace": len(made.units("trace"))} if made.layers else {}),
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


@click.command()
@click.argument("specs", nargs=-1, required=True)
@click.option("--target", default="auto", show_default=True, help="Where to run; see `targets`.")
@click.option(
    "--resume/--afresh",
    default=True,
    show_default=True,
    help="Go on with an unfinished run of the same content, or begin anew.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Evals at a time; with `--device cuda:0,cuda:1` each on a device of its own.",
)
@how_options
@DB
@WAIT
@reporting
def run(
    specs: tuple[str, ...],
    target: str,
    resume: bool,
    jobs: int,
    db: Path,
    wait: float,
    **how: Any,
) -> None:
    """Run SPECS: observe, select, ablate, test, and print the verdicts.

    \b
    harness run voices
    harness run evals/*.yaml --target organism --db /tmp/results.duckdb
    harness run voices --target gemma-2-2b --device cuda --mock-if-missing
    harness run evals/*.yaml --jobs 2 --device cuda:0,cuda:1
    """
    from harness.jobs import run_evals
    from harness.read import load_spec
    from harness.show import console, print_verdicts, progress_on
    from harness.wire import run_eval

    for spec in specs:
        load_spec(spec)
    out = console()
    say = partial(out.print, soft_wrap=True, markup=False)
    options: dict[str, Any] = {"db": db, "wait": wait, "resume": resume, "how": how_of(how)}

    def in_turn() -> "Iterator[Outcome]":
        for spec in specs:
            with progress_on(out) as progress:
                yield run_eval(spec, target, progress=progress, say=say, **options)

    outcomes = []
    try:
        for outcome in (
            run_evals(specs, target, jobs, say=say, **options) if jobs > 1 else in_turn()
        ):
            outcomes.append(outcome)
    finally:
        # Whatever stops a later spec, the earlier ones are done.
        if outcomes:
            print_verdicts(out, outcomes)
    sys.exit(0 if all(outcome.all_supported for outcome in outcomes) else 1)


@click.command()
@click.argument("run_id")
@DB
@WAIT
@reporting
def analyse(run_id: str, db: Path, wait: float) -> None:
    """Draw the verdicts of a stored run again, with its spec as it stands now.

    RUN_ID is an id, its beginning, a spec's name, or latest. A run whose spec changed since is exploratory.

    \b
    harness analyse 20260215-120000
    """
    from harness.conclude import analyse_again
    from harness.show import console, print_verdicts

    outcome = analyse_again(run_id, db=db, wait=wait, say=partial(click.echo, err=True))
    print_verdicts(console(), [outcome])
    sys.exit(0 if outcome.all_supported else 1)
