"""What is known of a selected set, on a terminal."""

from harness.characters import one_line
from harness.reports.known_sets import KnownSet
from harness.reports.run_data import Row
from harness.reports.terminal.progress import Terminal
from harness.reports.terminal.tables import print_rows
from harness.reports.text import p_text

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
    for name, row in zip(names, found.features, strict=True):
        if row["label"]:
            out.print(one_line(f"  {name}  {row['label']}"), soft_wrap=True)
    if found.claims:
        print_rows(out, COLUMNS, [_cells(row) for row in found.claims])
    else:
        out.print("nothing is claimed of it")
    if found.unasked:
        out.print("not asked:")
    for question, how in found.unasked.items():
        out.print(one_line(f"  {question:<13} {how}"), soft_wrap=True)


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
