"""The command line: parse, wire, print, exit.

Not here: what a command does, which is a function of the packages below, and what tables look like.
"""

import click

from harness.cli.convert import convert
from harness.cli.dictionaries import dictionaries
from harness.cli.environment import doctor, schema, targets
from harness.cli.exchange import export, import_
from harness.cli.labels import label
from harness.cli.parser import Commands
from harness.cli.plan import plan
from harness.cli.report import report
from harness.cli.run import analyse, register, run
from harness.cli.runs import compare, rerun, show
from harness.cli.single_steps import ablate, diff, extract, prompts
from harness.cli.specs import check, new
from harness.cli.sql import sql
from harness.cli.validate import validate

EPILOG = """\
Exit status: 0 every claim is supported, 1 some claim is not, 2 the spec or the call is wrong,
3 it could not run here, its output could not be written, or a check of `validate` does not hold,
70 it failed in a way to report.

\b
Completion of commands, specs, runs and queries, in ~/.bashrc or ~/.zshrc:
  eval "$(_HARNESS_COMPLETE=bash_source harness)"
  eval "$(_HARNESS_COMPLETE=zsh_source harness)"
"""


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.version_option(package_name="misconception-harness", prog_name="harness")
def main() -> None:
    """Test claims about what a model's features do to its answers.

    \b
    harness check evals/*.yaml    are the specs right, can their claims be tested?
    harness run voices            run an eval: from its spec to its verdicts
    harness sql "FROM latest_verdicts"
    """


main.add_section("Evals", new, check, plan, register, run, analyse, rerun)
main.add_section("Results", report, show, sql, compare, label, export, import_)
main.add_section("Single steps, which conclude nothing", prompts, extract, diff, ablate)
main.add_section("What there is", targets, dictionaries, validate, convert, doctor, schema)
