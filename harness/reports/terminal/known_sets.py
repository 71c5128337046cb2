"""What is known of a selected set, on a terminal."""

from collections.abc import Sequence

from harness.characters import one_line
from harness.reports.known_sets import KnownSet
from harness.reports.run_data import Row
from harness.reports.terminal.progress import Terminal
from harness.reports.terminal.tables import print_rows
from harness.reports.text import p_text, shown_token

TOKENS = 3  # of a feature that are shown
COLUMNS = ("question", "eval", "claim", "verdict", "estimate", "interval", "p")


def print_known_set(out: Terminal, found: KnownSet) -> None:
    """Its features, its claims by the question that each answers, and the questions nobody asked."""
    first, run = found.features[0], found.run
    out.print(one_line(f"{found.name} on {run['target']} ({run['origin']})"))
    out.print(one_line(f"run {run['run_id']}"), soft_wrap=True)
    out.print(
        f"{first['kind']} of {len(found.features)} features on the {first['variant']} variants:"
    )
    names = [f"{row['layer']}:{row['feature']}" for row in found.features]
    out.print("  " + " ".join(names))
    print_meanings(out, names, found.features)
    if found.claims:
        print_rows(out, COLUMNS, [_cells(row) for row in found.claims])
    else:
        out.print("nothing is claimed of it")
    if found.unasked:
        out.print("not asked:")
    for question, how in found.unasked.items():
        out.print(one_line(f"  {question:<13} {how}"), soft_wrap=True)


def print_meanings(out: Terminal, names: Sequence[str], features: Sequence[Row]) -> None:
    """What is known of each feature: its output score, the tokens that it writes by itself, and its label."""
    meanings = [[_score(row), _tokens(row), row["label"] or ""] for row in features]
    if any(map(any, meanings)):
        # Labels are there once they were fetched.
        shown = 3 if any(label for *_, label in meanings) else 2
        rows = [[name, *parts[:shown]] for name, parts in zip(names, meanings, strict=True)]
        print_rows(out, ("feature", "output score", "writes", "label")[: shown + 1], rows)


def _score(row: Row) -> str:
    return "" if row["output_score"] is None else f"{row['output_score']:.3f}"


def _tokens(row: Row) -> str:
    """The tokens that it moves up most."""
    return " ".join(shown_token(one).strip() for one in (row["up"] or ())[:TOKENS])


def _cells(row: Row) -> list[str]:
    low, high, p = row["ci_low"], row["ci_high"], row["p"]
    shape = "{:.0f} {}" if row["unit"] == "features" else "{:+.3g} {}"
    return [
        row["question"],
        row["spec_name"],
        row["claim"],
        row["verdict"],
        "-" if row["estimate"] is None else shape.format(row["estimate"], row["unit"]),
        "-" if low is None or high is None else f"[{low:+.3g}, {high:+.3g}]",
        "-" if p is None else p_text(p),
    ]
