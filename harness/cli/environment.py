"""Commands about what there is: targets, this machine, the schema of specs."""

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from harness.cli import completion
from harness.cli.exit_status import CANNOT_RUN, exit_with_status
from harness.cli.options import DTYPES, JSON, target_option
from harness.cli.output import echo, print_json
from harness.cli.parser import OneOf
from harness.errors import HarnessError
from harness.names import command
from harness.store.export import FORMAT_NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from harness.runner.doctor import Requirement
    from harness.specs.plan import Plan
    from harness.specs.targets import Target


@click.command(short_help="List what evals can run on, what of it is here.")
@click.argument("spec", default="", shell_complete=completion.specs)
@JSON
@exit_with_status
def targets(spec: str, as_json: bool) -> None:
    """List what evals can run on, what of it is here, and what a run would fetch.

    The package's targets, those of targets.toml in the folder of your settings, and those of targets.toml
    beside SPEC, or in ./evals where none is given. Any other folder or repository can be named in a spec:
    `model:` and `sae:` of a target.

    \b
    harness targets
    harness targets voices --json
    """
    from harness.reports.terminal.width import hanging_indent, terminal_columns
    from harness.specs.target_files import targets as every_target
    from harness.specs.target_files import user_file

    facts = [_target_facts(target) for target in every_target(spec).values()]
    if as_json:
        print_json(facts)
        return
    width = terminal_columns(sys.stdout)
    for target in facts:
        for head, text in _target_lines(target):
            echo(hanging_indent(head, text, width))
    if not user_file().exists():
        echo(hanging_indent(f"{'of your own':<14}", f"none: there is no {user_file()}", width))


def _target_facts(target: "Target") -> dict[str, Any]:
    """A target as data: what it is, and what of it is missing here."""
    from harness.models import hub_settings
    from harness.models.requirements import found_here, is_local, needs

    fault = None
    try:
        wants = needs(target, target.default_layers)
    except HarnessError as error:  # of a user's own: its folders are not what it says
        wants, fault = needs(target, ()), str(error.faults[0])
    missing = [need for need in wants if not need.here]
    wanted = any(need.what == "the model" for need in missing)
    return {
        "name": target.name,
        "summary": target.summary,
        "listed_in": target.file or "package",
        "origin": target.origin,
        "model": target.model,
        "sae": target.sae,
        "hook": target.hook,
        "blocks": target.blocks,
        "width": target.width,
        "features": target.features,
        "dtype": target.dtype,
        "layers": list(target.default_layers),
        "comes_with_the_package": target.file is None and is_local(target),
        "here": [
            {
                "place": need.place,
                "what": need.what,
                "source": need.source,
                "revision": need.revision,
            }
            for need in wants
            if need.here
        ],
        "found": found_here(wants),
        "missing": [
            {"place": need.place, "what": need.what, "bytes": need.bytes} for need in missing
        ],
        "bytes": sum(need.bytes or 0 for need in missing),
        "gated": target.gated and wanted,
        "token": hub_settings.has_token() if target.gated and wanted else None,
        "package": target.distribution if wanted else None,
        "fault": fault,
    }


def _target_lines(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is said of a target: the head of each line, and its text."""
    from harness.models.requirements import gigabytes

    margin, inner = " " * 14, " " * 16
    yield (
        f"{facts['name']:<14}" if len(facts["name"]) < 14 else f"{facts['name']} ",
        facts["summary"],
    )
    yield margin, f"{_shape_of(facts)}, {facts['dtype']}; {facts['origin']}"
    if facts["listed_in"] != "package":
        yield margin, f"of {facts['listed_in']}"
    yield margin, _state_of(facts)
    for line in facts["found"]:
        yield f"{inner}here     ", line
    for need in facts["missing"]:
        how_large = f", {gigabytes(need['bytes'])}" if need["bytes"] else ""
        yield f"{inner}missing  ", f"{need['place']}: {need['what']}{how_large}"
    if facts["fault"]:
        yield f"{inner}wrong    ", facts["fault"]
    if facts["gated"]:
        token = "a token is set" if facts["token"] else "no token is set: `hf auth login`"
        yield f"{inner}gated    ", f"accept the terms of {facts['model']} on the hub; {token}"
    if facts["package"]:
        how = "(the model in 4 bits, without a gate)"
        yield f"{inner}or       ", f"pip install {facts['package']} {how}"


def _shape_of(facts: dict[str, Any]) -> str:
    """How many layers and features a target has, as far as that is known before it is loaded."""
    if facts["blocks"] is None or facts["width"] is None:
        layers = "its layers are known once the model is here"
    else:
        layers = f"{facts['blocks']} layers of width {facts['width']}"
    if facts["sae"] == "none":
        return f"{layers}, no SAEs"
    if facts["hook"] != "resid_post":
        layers = f"{layers}, read at {facts['hook']}"
    return f"{layers}, {facts['features']:,} features a layer" if facts["features"] else layers


def _state_of(facts: dict[str, Any]) -> str:
    from harness.models.requirements import gigabytes

    if facts["missing"]:
        layers = ", ".join(map(str, facts["layers"]))
        more = " and more" if any(need["bytes"] is None for need in facts["missing"]) else ""
        size = gigabytes(facts["bytes"]) + more if facts["bytes"] else "what is missing"
        return f"a run of layers {layers} fetches {size}" if layers else f"a run fetches {size}"
    return "comes with the package" if facts["comes_with_the_package"] else "its files are here"


@click.command(short_help="Say what this machine has, and what a run would need.")
@click.argument("spec", default="", shell_complete=completion.specs)
@target_option(default="", help="One of the spec's targets; all of them when left out.")
@click.option("--device", default="auto", show_default=True, help="As for `run`.")
@click.option("--dtype", type=OneOf(DTYPES), help="As for `run`.")
@click.option("--mock", is_flag=True, help="As for `run`.")
@JSON
@exit_with_status
def doctor(
    spec: str, target: str, device: str, dtype: str | None, mock: bool, as_json: bool
) -> None:
    """Say what this machine has, and what a run of SPEC would need. Asks no network.

    Exits with 3 where no target of the spec can run.

    \b
    harness doctor
    harness doctor voices --target gemma-2-2b
    """
    from harness.reports.terminal.width import hanging_indent, terminal_columns
    from harness.runner.doctor import machine, requirements
    from harness.specs.spec_file import load
    from harness.specs.target_files import HERE
    from harness.specs.targets import MOCKS

    plans, beside = [], HERE
    if spec:
        file = load(spec)
        beside = file.path.parent
        names = [target] if target else list(file.targets)
        plans = [file.plan(name, MOCKS[0] if mock else "") for name in names]
    if dtype:
        plans = [replace(plan, target=replace(plan.target, dtype=dtype)) for plan in plans]
    needs = [
        (plan, needed, not any(one.stops for one in needed))
        for plan in plans
        for needed in [requirements(plan, device)]
    ]
    if as_json:
        runs = [
            {
                "spec": plan.spec.name,
                "target": plan.target.name,
                "layers": list(plan.layers),
                "can_run": able,
                "validate": _validating(plan.target, spec, beside),
                "needs": [asdict(one) for one in needed],
            }
            for plan, needed, able in needs
        ]
        print_json({"machine": dict(machine(beside)), "runs": runs})
    else:
        width = terminal_columns(sys.stdout)
        for name, value in machine(beside):
            echo(hanging_indent(f"{name:<14}", value, width))
        for plan, needed, able in needs:
            for line in _plan_lines(plan, needed, able, spec, beside):
                echo(hanging_indent(*line, width))
    if needs and not any(able for _, _, able in needs):
        sys.exit(CANNOT_RUN)


def _plan_lines(
    plan: "Plan", needed: "list[Requirement]", able: bool, spec: str, beside: "Path"
) -> Iterator[tuple[str, str]]:
    """What is said of a spec on a target: the head of each line, and its text."""
    layers = ", ".join(map(str, plan.layers)) or "none"
    yield "", ""
    at = "" if plan.target.hook == "resid_post" else f", {plan.target.hook}"
    yield "", f"{plan.spec.name} on {plan.target.name}, layers {layers}{at}"
    widest = max(len(one.what) for one in needed)
    for one in needed:
        yield f"  {one.mark} {one.what:<{widest}}  ", one.text
    able_to = command("run", spec, "--target", plan.target.name)
    yield "  ", able_to if able else "It cannot run here like this."
    if able:
        yield "  ", f"{_validating(plan.target, spec, beside)}   (is it read as it is by itself?)"


def _validating(target: "Target", spec: str, beside: "Path") -> str:
    """The command that validates a target, which without its spec may not be known."""
    from harness.specs.target_files import HERE, known_targets

    known = beside == HERE or target.file is None
    more = () if known and target.name in known_targets() else ("--spec", spec)
    return command("validate", target.name, *more)


@click.command(short_help="Print the JSON Schema of a spec, or of another file.")
@click.argument("name", type=OneOf(["eval", *FORMAT_NAMES]), default="eval")
@exit_with_status
def schema(name: str) -> None:
    """Print the JSON Schema of a spec file, or of a line of the files that single steps write.

    \b
    harness schema
    harness schema features
    """
    from harness.specs.spec import json_schema
    from harness.store.export.formats import format_schema

    content = json_schema() if name == "eval" else format_schema(name)
    print_json(content)
