"""Where an error becomes an exit status, and its faults become lines on standard error.

A command raises `InputError` or `CannotRun`, which carry their status; `exit_with_status` prints and
exits. A call that click refuses is answered in `parser.Commands.main`, with the same numbers.
"""

import errno
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from harness.cli.output import say
from harness.errors import CannotRun, Fault, HarnessError, InputError, too_long
from harness.runner.stop_signals import stop_message, stop_status

SUPPORTED = 0  # every claim is; of other commands: they did what was asked
NOT_SUPPORTED = 1  # some claim is not; of `rerun`: the tables do not agree
WRONG_INPUT = InputError.status  # 2
CANNOT_RUN = CannotRun.status  # 3
PIPE_CLOSED = 141  # what a shell reports of SIGPIPE; of others, `stop_status`


def exit_with_status(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command that prints its faults as lines on standard error and exits with their status."""

    @wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except HarnessError as error:
            print_faults(error.faults)
            sys.exit(error.status)
        except OSError as error:
            # A path among the options; those of a spec are checked with it.
            if error.errno != errno.ENAMETOOLONG:
                raise
            print_faults([too_long(error.filename)])
            sys.exit(WRONG_INPUT)
        except MemoryError:
            remedy = "end other programs, or take a smaller --batch-size or fewer --workers"
            print_faults([Fault("memory", "there is not enough of it", remedy)])
            sys.exit(CANNOT_RUN)
        except KeyboardInterrupt as error:
            goes_on = command.__name__ in ("run", "rerun")
            say(stop_message(error, goes_on=goes_on))
            sys.exit(stop_status(error))

    return wrapped


def print_faults(faults: Iterable[Fault]) -> None:
    """Each fault in a line, and below it the line that it is about; of a file's faults the first."""
    from harness.reports.terminal.excerpt import with_excerpts
    from harness.reports.terminal.width import terminal_columns

    for line in with_excerpts(faults, terminal_columns(sys.stderr), head="error: "):
        say(line)
