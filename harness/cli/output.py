"""What the commands print beside their results: JSON for scripts, notes on standard error."""

import json
from typing import Any

import click


def say(line: str) -> None:
    """A note for people: on standard error, so that it is in nobody's pipe."""
    click.echo(line, err=True)


def print_json(value: Any) -> None:
    """A value as JSON on standard output; what is not finite is null."""
    from harness.store.values import json_value

    click.echo(json.dumps(json_value(value), indent=2, default=str, ensure_ascii=False))
