"""What a run of a spec would do, and what it could show, before it is made."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import completion
from harness.cli.exit_status import exit_with_status
from harness.cli.options import DB, JSON, target_option
from harness.cli.output import echo, print_json
from harness.cli.parser import Decimal, Whole
from harness.cli.spec_facts import controls_lines

if TYPE_CHECKING:
    from harness.specs.plan import Plan

UNKNOWN = "not estimated; the model's architecture is not known here"


@click.command(short_help="Show what a run would do, and what it could show.")
@click.argument("spec", shell_complete=completion.specs)
@target_option(default="", help="One of the spec's targets; its first when left out.")
@click.option("--device", default="auto", show_default=True, help="As for `run`.")
@click.option(
    "--workers", type=Whole(1), help="Say what it costs on so many devices like this one."
)
@click.option("--price", type=Decimal(0, 1e6), help="Dollars an hour for each of the workers.")
@JSON
@DB
@exit_with_status
def plan(
    spec: str,
    target: str,
    device: str,
    workers: int | None,
    price: float | None,
    as_json: bool,
    db: Path,
) -> None:
    """Show what a run of SPEC would do: families, layers, what it could show, memory and time.

    Memory is that of the device in each stage; the time is the least that this machine needs, by what it does
    in a moment. Of features that another eval froze, the results file is asked. Nothing is loaded or
    fetched for it.

    With --workers, what it costs on so many: time, hours, bytes and dollars, by earlier runs of the target in
    the results file.

    \b
    harness plan voices --target organism
    harness plan voices --target organism --workers 4 --price 2.50
    """
    from dataclasses import asdict

    from harness.reports.terminal.cost import cost_lines
    from harness.reports.terminal.width import hanging_indent, known_columns
    from harness.runner.doctor import expected
    from harness.runner.planned_cost import planned_cost
    from harness.specs.spec_file import load

    if price is not None and workers is None:
        raise click.UsageError("--price is an hour's of a worker; say how many with --workers")
    made = load(spec).plan(target)
    facts = _planned(made, db)
    needs = expected(made, device)
    cost = workers and planned_cost(made, db, device=device, workers=workers, price=price)
    if as_json:
        facts["needs"] = [asdict(one) for one in needs]
        print_json(facts | ({"cost": cost and asdict(cost)} if workers else {}))
        return
    for key, value in facts.items():
        if key in ("clusters", "sources", "out of reach") and not value:
            continue
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(value, dict):
            shown = ", ".join(f"{name} {count}" for name, count in value.items())
        echo(hanging_indent(f"{key:>16}  ", str(shown), known_columns(sys.stdout)))
    for one in needs:
        echo(hanging_indent(f"{one.what:>16}  ", one.text, known_columns(sys.stdout)))
    told = [*cost_lines(cost)] if cost else [("cost", UNKNOWN)] * bool(workers)
    width = max((len(what) for what, _ in told), default=0)
    for what, text in told:
        echo(hanging_indent(f"{what:>{max(16, width)}}  ", text, known_columns(sys.stdout)))


def _planned(made: "Plan", db: Path) -> dict[str, Any]:
    """What a run does and what it could show; where its features come from, by the results file."""
    from harness.runner.planned_sources import planned_sources
    from harness.specs.clusters import plural, sizes_of
    from harness.specs.design import families_needed, smallest_p
    from harness.specs.independence import clusterings

    confirming = made.families("confirmation")
    units, alpha = (
        len(sizes_of(made.clusters(made.spec.cluster), confirming)),
        made.spec.contrast.alpha,
    )
    tests = (made.target.features or 0) * len(made.layers)
    return {
        "spec": made.spec.name,
        "question": made.spec.question,
        "hash": made.spec.hash,
        "target": made.target.name,
        **_variants(made),
        "layers": list(made.layers),
        **({} if made.target.hook == "resid_post" else {"hook": made.target.hook}),
        "prompts": len(made.prompts),
        "discovery": list(made.families("discovery")),
        "confirmation": list(confirming),
        "alpha": alpha,
        "clusters": [*map(str, clusterings(made))],
        "smallest p": smallest_p(units),
        f"{plural(made.spec.cluster)} needed": families_needed(alpha),
        "features tested": tests,
        "detectable d_z": _detectable(units, alpha, tests),
        "units": _unit_counts(made),
        "controls": controls_lines(made, made.ablations),
        "sources": planned_sources(made, db),
        "claims": [claim.name for claim in made.spec.claims_on(made.target.name)],
    } | _reach(made)


def _unit_counts(made: "Plan") -> dict[str, int]:
    """How many units the stages have."""
    return (
        {stage: len(made.units(stage)) for stage in ("observe", "generate", "survey")}
        | {
            f"ablate {ablation.name}": len(made.units("ablate", ablation.name))
            for ablation in made.ablations
        }
        | ({"trace": len(made.units("trace"))} if made.layers else {})
    )


def _variants(made: "Plan") -> dict[str, list[str]]:
    """What is compared, where it is not called by its roles."""
    variants = made.spec.variants
    return {} if variants.are_roles else {"variants": list(variants.names)}


def _reach(made: "Plan") -> dict[str, Any]:
    """The smallest p that each claim can be left with, and what keeps claims from alpha, in words."""
    from harness.specs.plan_checks import unreachable
    from harness.specs.reach import corrected, dependent, smallest_p_values

    best = corrected(made, smallest_p_values(made))
    faults = unreachable(made, lambda *_: made.spec.name)
    return {
        "reach": {name: float(f"{p:.3g}") for name, p in best.items()},
        "out of reach": [*map(str, faults), *dependent(made)],
    }


def _detectable(units: int, alpha: float, tests: int) -> dict[str, float | None]:
    """The effects that are found four times in five; the flips' floor is a bound of its own."""
    from harness.specs.design import smallest_effect, smallest_p

    if smallest_p(units) > alpha:
        return {"of one test": None, "of every feature": None}
    return {
        "of one test": round(smallest_effect(units, alpha), 3),
        "of every feature": round(smallest_effect(units, alpha / tests), 3) if tests else None,
    }
