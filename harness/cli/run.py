"""Commands that run specs, and draw their verdicts again."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import completion
from harness.cli.cluster_options import cluster_options, who_of
from harness.cli.exit_status import NOT_SUPPORTED, SUPPORTED, exit_with_status
from harness.cli.options import DB, JSON, WAIT, how_of, how_options, target_option
from harness.cli.output import echo, print_json, say
from harness.cli.parser import Whole
from harness.errors import Fault, InputError

if TYPE_CHECKING:
    from harness.reports.terminal.progress import Terminal
    from harness.runner.outcome import Outcome


@click.command(short_help="Run specs: observe, select, ablate, test, and print the verdicts.")
@click.argument("specs", nargs=-1, required=True, shell_complete=completion.specs)
@target_option(default="auto", show_default=True, help="Where to run; see `harness targets`.")
@click.option(
    "--resume/--afresh",
    default=True,
    show_default=True,
    help="Go on with an unfinished run of the same content, or begin anew.",
)
@cluster_options
@click.option(
    "--limit",
    type=Whole(2),
    metavar="N",
    help="A trial on the first N families of each side: evidence of nothing.",
)
@click.option(
    "--profile",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write where the time went, by stage and worker, as JSON.",
)
@how_options
@JSON
@DB
@WAIT
@exit_with_status
def run(
    specs: tuple[str, ...],
    target: str,
    resume: bool,
    profile: Path | None,
    as_json: bool,
    db: Path,
    wait: float,
    **how: Any,
) -> None:
    """Run SPECS: observe, select, ablate, test, and print the verdicts.

    \b
    harness run voices
    harness run evals/*.yaml --target organism --db /tmp/results.duckdb
    harness run voices --target gemma-2-2b --device cuda --mock-if-missing
    harness run evals/*.yaml --workers 2 --device cuda:0,cuda:1
    harness run voices --target gemma-2-2b --scheduler scheduler.json
    harness run voices --json | jq '.evals[].verdicts[] | {claim, verdict}'
    """
    from harness.cli.cluster import evals_of, shards_of
    from harness.reports.terminal.progress import console
    from harness.runner.registration import register_specs
    from harness.specs.sources import in_order
    from harness.specs.spec_file import load

    files = in_order([load(spec) for spec in specs])
    out = console(sys.stderr if as_json else sys.stdout)
    who, asked = who_of(how), how_of(how)
    if who.shard:
        _check_shard(other=as_json or profile is not None or not resume)
        shards_of(files, target, who, asked, out)
        return
    if profile and len(files) > 1:
        what = "it is of one eval, and several are asked for"
        raise InputError(Fault("--profile", what, "run them one by one, each with its own"))
    options: dict[str, Any] = {"db": db, "wait": wait, "resume": resume, "how": asked}
    if profile:
        options["profile"] = profile
    if len(files) > 1:
        # Before the first of them runs: they may confirm on the same prompts.
        register_specs(files, target, db=db, wait=wait, how=asked, lenient=True, say=out.note)

    outcomes = []
    with ExitStack() as held:
        try:
            for outcome in evals_of(files, target, who, out=out, held=held, **options):
                outcomes.append(outcome)
        finally:
            # Whatever stops a later spec, the earlier ones are done.
            _print(outcomes, out, as_json=as_json)
    sys.exit(_status(outcomes))


@click.command(short_help="Put specs into the results file before anything is run.")
@click.argument("specs", nargs=-1, required=True, shell_complete=completion.specs)
@target_option(default="auto", show_default=True, help="Of which runs are meant.")
@JSON
@DB
@WAIT
@exit_with_status
def register(specs: tuple[str, ...], target: str, as_json: bool, db: Path, wait: float) -> None:
    """Put SPECS into the results file, with their claims and the time, before anything is run.

    A run confirms only where no results on its confirming prompts were there before its spec. So specs
    that share prompts are registered together; `harness run A B` does that by itself.

    \b
    harness register evals/*.yaml
    """
    from dataclasses import asdict

    from harness.runner.registration import register_specs
    from harness.specs.spec_file import load

    found = register_specs([load(spec) for spec in specs], target, db=db, wait=wait, say=say)
    if as_json:
        print_json({"registered": [asdict(one) for one in found]})
        return
    for one in found:
        state = f"exploratory: {one.seen}" if one.seen else f"{one.claims} claims can be confirmed"
        echo(f"{one.spec} on {one.target}: registered; {state}")


@click.command(short_help="Draw a stored run's verdicts again, with its spec as it stands now.")
@click.argument("run_id", metavar="RUN", shell_complete=completion.runs)
@JSON
@DB
@WAIT
@exit_with_status
def analyse(run_id: str, as_json: bool, db: Path, wait: float) -> None:
    """Draw the verdicts of a stored run again, with its spec as it stands now.

    RUN is an id, its beginning, a spec's name, or latest. A run whose spec changed since is exploratory.

    \b
    harness analyse 20260215-120000
    """
    from harness.reports.plain_data import outcome_data
    from harness.reports.terminal.progress import console
    from harness.reports.terminal.verdicts import print_verdicts
    from harness.runner.reanalysis import analyse_again

    outcome = analyse_again(run_id, db=db, wait=wait, say=say)
    if as_json:
        print_json(outcome_data(outcome))
    else:
        print_verdicts(console(), [outcome])
    sys.exit(_status([outcome]))


def _check_shard(*, other: bool) -> None:
    """Raises `InputError` where a shard is asked for `other` things than its part."""
    if other:
        what = "a shard has no verdicts, no times of its own, and does nothing twice"
        remedy = "leave out --json, --profile and --afresh; for a run anew, name other --parts"
        raise InputError(Fault("--shard", what, remedy))


def _print(outcomes: "Sequence[Outcome]", out: "Terminal", *, as_json: bool) -> None:
    from harness.reports.markdown import append_summary
    from harness.reports.plain_data import outcome_data
    from harness.reports.terminal.verdicts import print_verdicts

    if as_json:
        print_json({"evals": [outcome_data(outcome) for outcome in outcomes]})
    elif outcomes:
        print_verdicts(out, outcomes)
    if outcomes:
        append_summary(outcomes, out.note)


def _status(outcomes: "Sequence[Outcome]") -> int:
    supported = all(outcome.all_supported for outcome in outcomes)
    return SUPPORTED if supported else NOT_SUPPORTED
