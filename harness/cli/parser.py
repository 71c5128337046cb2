"""The group of commands: help by subject, and wrong calls in the same words as wrong specs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import click

from harness.cli.exit_status import CANNOT_RUN, PIPE_CLOSED, WRONG_INPUT
from harness.cli.output import discard, say
from harness.errors import Fault, nearest
from harness.runner.stop_signals import stop_message, stop_status
from harness.specs.numbers import decimal_number, whole_number
from harness.streams import shown_streams


class OneOf(click.Choice[str]):
    """One of some words; a wrong one is answered with the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word. Raises `click.BadParameter`."""
        if value not in self.choices:
            self.fail(f"there is no '{value}'; {nearest(str(value), self.choices)}", param, ctx)
        return super().convert(value, param, ctx)


class Whole(click.IntRange):
    """A whole number in plain decimal digits: Python would read 1_0 as 10, and 010 too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Raises `click.BadParameter`."""
        return super().convert(_read(whole_number, self, value, param, ctx), param, ctx)


class Decimal(click.FloatRange):
    """The same of a number that need not be whole."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Raises `click.BadParameter`."""
        return super().convert(_read(decimal_number, self, value, param, ctx), param, ctx)


class Commands(click.Group):
    """Commands in sections, in the order in which they are added."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sections: dict[str, list[str]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands under a title of the help."""
        for command in commands:
            self.add_command(command)
            self.sections.setdefault(title, []).append(command.name or "")

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """Each section with its commands; no summary is cut."""
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(f"{n:<8}", summary(self.commands[n])) for n in names])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command that is named. Raises `click.UsageError` with the nearest name."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            remedy = nearest(args[0], self.list_commands(ctx))
            raise click.UsageError(f"there is no command '{args[0]}'; {remedy}", ctx)
        return super().resolve_command(ctx, args)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the call, which may ask for help: that can have no place to go to, either."""
        with _until_output_fails():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, as long as its output can be written."""
        try:
            with _until_output_fails():
                return super().invoke(ctx)
        except click.UsageError as error:
            if error.ctx is None and (command := self.commands.get(ctx.invoked_subcommand or "")):
                error.ctx = click.Context(command, ctx, ctx.invoked_subcommand)
            raise

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit with its status; a wrong call is two lines, not a page.

        Whatever is printed meanwhile is shown, and nothing of it obeyed.
        """
        call = partial(super().main, args, prog_name, complete_var, standalone_mode=False, **extra)
        with shown_streams():
            return self._exit_with_status(call) if standalone_mode else call()

    def _exit_with_status(self, call: Callable[[], Any]) -> NoReturn:
        try:
            status: Any = call()
        except click.exceptions.NoArgsIsHelpError as error:
            print(error.format_message(), file=sys.stderr)
            sys.exit(WRONG_INPUT)
        except click.UsageError as error:
            say(f"error: {fault_of(error)}")
            say(f"see {_command_name(error.ctx)} --help")
            sys.exit(WRONG_INPUT)
        except (click.Abort, KeyboardInterrupt) as error:
            cause = error.__cause__ if isinstance(error, click.Abort) else error
            stop = cause if isinstance(cause, KeyboardInterrupt) else KeyboardInterrupt()
            say(stop_message(stop))
            sys.exit(stop_status(stop))
        sys.exit(status if isinstance(status, int) else 0)


def summary(command: click.Command) -> str:
    """A command in one sentence: its short help, or the first sentence of its help."""
    text = command.short_help or " ".join((command.help or "").split("\n\n")[0].split())
    return text.rstrip(".")


def fault_of(error: click.UsageError) -> Fault:
    """A wrong call as where, what and what to do."""
    where, text = _command_name(error.ctx), error.message.rstrip(".")
    if isinstance(error, click.NoSuchOption):
        what = f"there is no option '{error.option_name}'"
        remedy = nearest(error.option_name.lstrip("-"), _options(error.ctx))
        return Fault(
            where, what, remedy.replace("'", "'--", 1) if remedy[-1] == "?" else "leave it out"
        )
    if isinstance(error, click.MissingParameter):
        return Fault(where, f"{_parameter_name(error.param)} is missing", "add it")
    if isinstance(error, click.BadOptionUsage):
        return Fault(f"{where} {error.option_name}", "it has no value", "write one after it")
    if isinstance(error, click.BadParameter) and error.param is not None:
        where = f"{where} {_parameter_name(error.param)}"
        remedy = _number_advice(error.param.type)
        if remedy:
            return Fault(where, text.split(" is not ")[0] + " is not allowed", remedy)
    what, _, remedy = text.partition("; ")
    if not remedy and what.startswith("Got unexpected extra argument"):
        remedy = "leave it out, or quote what belongs together"
    return Fault(where, what[:1].lower() + what[1:], remedy or "write another")


@contextmanager
def _until_output_fails() -> Iterator[None]:
    """End where standard output cannot be written: quietly where nobody reads it any more.

    Any other error of the system that nobody has put into words ends here as well.
    """
    if sys.stdout is None:
        _end("standard output", "it is closed", "send it to a file, or to /dev/null")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)
        sys.exit(PIPE_CLOSED)
    except OSError as error:
        discard(sys.stdout)
        reason = (error.strerror or str(error)).lower()
        where = str(error.filename or "the system")
        _end(where, f"it cannot be written or read: {reason}", "make room, or name another place")


def _end(where: str, what: str, remedy: str) -> NoReturn:
    say(f"error: {Fault(where, what, remedy)}")
    sys.exit(CANNOT_RUN)


def _read(
    number: Callable[[str], float],
    kind: click.IntRange | click.FloatRange,
    value: Any,
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> Any:
    try:
        return number(value) if isinstance(value, str) else value
    except ValueError:
        kind.fail(f"'{value}' is not a number", param, ctx)


def _command_name(ctx: click.Context | None) -> str:
    return f"harness {ctx.info_name}" if ctx is not None and ctx.parent else "harness"


def _options(ctx: click.Context | None) -> list[str]:
    parameters = ctx.command.get_params(ctx) if ctx else []
    names = [name for one in parameters for name in one.opts + one.secondary_opts]
    return [name.removeprefix("--") for name in names if name.startswith("--")]


def _number_advice(kind: Any) -> str:
    """Which numbers an option takes; empty where it takes no numbers."""
    what = {"integer": "a whole number", "float": "a number"}.get(kind.name.split(" ")[0], "")
    lowest = getattr(kind, "min", None)
    return what and f"write {what}" + ("" if lowest is None else f" of at least {lowest}")


def _parameter_name(parameter: click.Parameter | None) -> str:
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return "an argument" if parameter is None else parameter.human_readable_name.upper()
