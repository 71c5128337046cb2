"""`python -m harness`, and the command `harness`."""

import sys


def main() -> None:
    """Run the command line; an interrupt is a line also while it is still being imported."""
    try:
        from harness.cli import main as commands
        from harness.models.waiting_threads import let_threads_sleep

        let_threads_sleep()
        commands(prog_name="harness")
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
