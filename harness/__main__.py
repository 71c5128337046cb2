"""`python -m harness`, and the command `harness`."""

import sys


def main() -> None:
    """Run the command line; an interrupt is a line also while it is still being imported."""
    from harness.runner.stop_signals import raise_stop_signals, stop_message, stop_status

    try:
        raise_stop_signals()
        from harness.cli import main as commands

        commands(prog_name="harness")
    except KeyboardInterrupt as error:
        sys.stderr.write(f"{stop_message(error)}\n")
        sys.exit(stop_status(error))


if __name__ == "__main__":
    main()
