"""The command line, called in this process."""

from pathlib import Path

from click.testing import CliRunner, Result

from harness.cli import main


def invoke(*arguments: object) -> Result:
    """What a command prints, and its exit status; whatever the arguments are, it is given as text."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    return result


def exported(folder: Path, db: Path, *arguments: object) -> tuple[Path, str]:
    """The folder that an export made, and what it said."""
    result = invoke("export", *arguments, "--output_dir", folder / "runs", "--db", db)
    assert result.exit_code == 0, result.output
    return Path(result.stdout.strip()), result.stderr
