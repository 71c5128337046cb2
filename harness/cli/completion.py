"""What the shell completes: specs, targets, stored runs, saved queries. Nothing here can fail loudly."""

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from harness.characters import make_visible
from harness.names import LONGEST_ID, is_name
from harness.paths import DEFAULT_DB, eval_names

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completing(
    find: Callable[[click.Context], Iterable[tuple[str, str]]],
) -> Completer:
    """Those (word, what it is) that begin as what is typed; none where they cannot be found."""

    @wraps(find)
    def complete(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        try:
            words = list(find(ctx))
        except Exception:  # a shell that waits for words has no use for a reason
            return []
        # A word goes into somebody's command, as it is, and the lines of help are no words.
        return [
            CompletionItem(word, help=make_visible(" ".join(what.split())))
            for word, what in words
            if word.startswith(typed) and is_name(word.removesuffix("="), LONGEST_ID)
        ]

    return complete


def specs(_: click.Context, __: click.Parameter, typed: str) -> list[CompletionItem]:
    """The names of the evals that are there, or a path."""
    names = [
        CompletionItem(name, help="an eval")
        for name in eval_names()
        if name.startswith(typed) and is_name(name)
    ]
    return names or [CompletionItem(typed, type="file")]


@_completing
def targets(ctx: click.Context) -> Iterable[tuple[str, str]]:
    """The targets of the specs that are named before, or all that are known."""
    spec = _argument(ctx, "spec", "specs")
    if spec:
        from harness.specs.spec_file import load

        known = load(spec).targets
    else:
        from harness.specs.target_files import targets as every_target

        known = every_target()
    return [(name, target.summary) for name, target in known.items()]


@_completing
def runs(ctx: click.Context) -> Iterable[tuple[str, str]]:
    """`latest`, the specs that were run and the ids of their runs, newest first."""
    from harness.store.run_names import stored_runs

    stored = stored_runs(Path(ctx.params.get("db") or DEFAULT_DB))
    specs = {spec: f"the last run of {spec}" for _, spec, _ in stored}
    ids = {run: f"{spec} on {target}" for run, spec, target in stored}
    return {"latest": "the last run that finished", **specs, **ids}.items() if stored else ()


@_completing
def queries(_: click.Context) -> Iterable[tuple[str, str]]:
    """The saved queries."""
    from harness.store.queries import saved_queries

    return [(query.name, query.about) for query in saved_queries().values()]


@_completing
def settings(ctx: click.Context) -> Iterable[tuple[str, str]]:
    """The parameters of the saved query that is named before, each with its `=`."""
    from harness.store.queries import RUNS, find_query

    saved = find_query(_argument(ctx, "query"))
    parameters: tuple[Any, ...] = saved.parameters if saved else ()
    return [(f"{one.name}=", one.meaning) for one in parameters if one.name not in RUNS]


def _argument(ctx: click.Context, *names: str) -> str:
    """The first argument of those names; click leaves it aside where an option still lacks its value."""
    value = next((ctx.params[name] for name in names if ctx.params.get(name)), None)
    if value is None and ctx.args and any(one.name in names for one in ctx.command.params):
        value = ctx.args[0]
    return value if isinstance(value, str) else value[0] if value else ""
