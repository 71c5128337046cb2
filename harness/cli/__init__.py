"""The command line: parse, wire, print, exit."""

from typing import Any

import click

from harness.cli.evals import analyse, check, plan, run
from harness.cli.here import doctor, schema, targets
from harness.cli.results import sql
from harness.cli.steps import ablate, diff, extract, prompts
from harness.cli.stored import compare, export, import_, rerun, show


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


_COMMANDS = (
    *(check, plan, run, analyse, rerun),
    *(sql, show, compare, export, import_),
    *(targets, doctor, schema),
    *(prompts, extract, diff, ablate),
)
for _command in _COMMANDS:
    main.add_command(_command)
