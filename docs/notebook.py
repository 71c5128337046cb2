"""A finished run in four figures: `marimo edit docs/notebook.py`, or run it as a program.

It reads the results file that HARNESS_DB names, db/results.duckdb without it, and of its runs the one
that HARNESS_RUN means: an id, a spec's name, or latest.
"""

import marimo

app = marimo.App(width="medium", app_title="A run in four figures")


@app.cell
def _():
    import math
    import os
    import sys

    import altair as alt
    import marimo as mo

    import harness

    _db = os.environ.get("HARNESS_DB", "db/results.duckdb")
    try:
        results = harness.open_store(_db, snapshot=True)
        wanted = results.find_run(os.environ.get("HARNESS_RUN", "latest"))["run_id"]
    except (harness.InputError, harness.CannotRun) as _error:
        if not mo.running_in_notebook():
            print(f"error: {_error}", file=sys.stderr)
            sys.exit(_error.status)
        mo.stop(True, mo.callout(str(_error), kind="danger"))
    return alt, math, mo, results, wanted


@app.cell
def _(mo, results, wanted):
    _names = {f"{line['run_id']} ({line['origin']})": line["run_id"] for line in results.runs()}
    _first = next(name for name, run_id in _names.items() if run_id == wanted)
    choice = mo.ui.dropdown(_names, value=_first, label="Run")
    choice  # noqa: B018
    return (choice,)


@app.cell
def _(choice, mo, results):
    run = results.find_run(choice.value)
    verdicts = results.frame("verdicts", run=run["run_id"])
    _of = {
        "mock": "**Mock.** Random SAEs: a trial of the pipeline, evidence of nothing.",
        "stand-in": "A stand-in: it shows that the method works and says nothing about Gemma.",
        "real": "",
    }
    _exploratory = f"**Exploratory**: {run['exploratory']}." if run["exploratory"] else ""
    mo.vstack(
        [
            mo.md(f"# {run['question']}"),
            mo.md(
                f"`{run['spec_name']}` on `{run['target']}`. {_of[run['origin']]} {_exploratory}"
            ),
            mo.ui.table(verdicts, selection=None),
        ]
    )
    return run, verdicts


@app.cell
def _(alt, mo, results, run):
    _rows = results.frame("FROM family_contrasts WHERE run_id = $run", run=run["run_id"])
    _long = _rows.melt(
        ["family", "split"], ["after_correct", "after_misconception"], "variant", "nats"
    )
    behaviour = (
        alt.Chart(_long)
        .mark_point(filled=True)
        .encode(
            x=alt.X("nats", title="log p(correct) - log p(misconception), nats"),
            y=alt.Y("family", sort=alt.EncodingSortField("nats", order="descending"), title=None),
            color=alt.Color("variant", title="mean over the variants"),
            shape="split",
            tooltip=["family", "split", "variant", "nats"],
        )
    )
    mo.vstack(
        [
            mo.md(
                "## Behaviour by family\n\n"
                "What the model prefers after each variant of a pair, on average over a family. "
                "A family is one scenario and the unit of every test. Right of zero the correct "
                "answer is the likelier one. Families that discover choose features; only those "
                "that confirm decide claims."
            ),
            behaviour,
        ]
    )
    return (behaviour,)


@app.cell
def _(alt, math, mo, results, run):
    _rows = results.frame(
        "SELECT layer, feature, mean_difference, p_adjusted, -log10(p_adjusted) AS strength "
        "FROM top_features WHERE run_id = $run ORDER BY rank LIMIT 4000",
        run=run["run_id"],
    )
    _points = (
        alt.Chart()
        .mark_circle(opacity=0.6)
        .encode(
            x=alt.X("mean_difference", title="mean difference"),
            y=alt.Y("strength", title="-log10 of the adjusted p"),
            tooltip=["layer", "feature", "mean_difference", "p_adjusted"],
        )
    )
    _alpha = alt.Chart().mark_rule(strokeDash=[4, 4]).encode(y=alt.datum(-math.log10(run["alpha"])))
    volcano = (
        alt.layer(_points, _alpha, data=_rows)
        .properties(width=180, height=180)
        .facet("layer:O", columns=3)
    )
    mo.vstack(
        [
            mo.md(
                "## Features by layer\n\n"
                "Each point is a feature on the confirming families: how far its values on the "
                "two variants lie apart, in the units of its SAE, and the p value of that, "
                "adjusted over every feature of every layer. Above the dashed line it is at most "
                "the spec's alpha. The points at the top have the smallest p that so many "
                "families can give. The 4,000 strongest features are drawn."
            ),
            volcano,
        ]
    )
    return (volcano,)


@app.cell
def _(alt, mo, results, run):
    _rows = results.frame(
        "SELECT ablation, role, mean_impact, ci_low, ci_high FROM ablation_summary "
        "WHERE run_id = $run AND role IN ('target', 'control')",
        run=run["run_id"],
    )
    _base = alt.Chart(_rows).encode(y=alt.Y("ablation", title=None), color="role")
    against_controls = _base.mark_tick(thickness=2, size=30).encode(
        x=alt.X("mean_impact", title="mean impact, nats"),
        tooltip=["ablation", "role", "mean_impact", "ci_low", "ci_high"],
    ) + _base.transform_filter("datum.role == 'target'").mark_rule(strokeWidth=3).encode(
        x="ci_low", x2="ci_high"
    )
    mo.vstack(
        [
            mo.md(
                "## The selected features against their controls\n\n"
                "One line a set of features: what its edit does to the answer, on average over "
                "the confirming families. The controls are random features of the same layers "
                "that fire as often and as strongly. A selected set that lies among them does "
                "nothing that any features would not do. The bar is the 95 % interval."
            ),
            against_controls if len(_rows) else mo.md("*This run has no ablation.*"),
        ]
    )
    return (against_controls,)


@app.cell
def _(alt, mo, results, run):
    _rows = results.frame("dose_response", run=run["run_id"])
    _base = alt.Chart(_rows).encode(
        x=alt.X("dose", title="the selected features times this"), color="ablation"
    )
    dose_response = _base.mark_area(opacity=0.2).encode(
        y=alt.Y("ci_low", title="mean impact, nats"), y2="ci_high"
    ) + _base.mark_line(point=True).encode(y="mean_impact")
    mo.vstack(
        [
            mo.md(
                "## Dose and response\n\n"
                "The same features scaled instead of removed: 0 removes them, 1 leaves them as "
                "they are, where the impact is exactly 0. An effect that grows with the "
                "distance from 1 is what removing a cause would look like. The band is the 95 % interval."
            ),
            dose_response if len(_rows) else mo.md("*No ablation of this run has doses.*"),
        ]
    )
    return (dose_response,)


if __name__ == "__main__":
    app.run()
