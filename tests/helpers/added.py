"""What adds up over prompts, as a run adds it up: in parts, whose sums are kept, then layer by layer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.runner.added_stages import add_up_profile, add_up_survey
from harness.runner.context import Progress, RunContext
from harness.runner.in_process import crew_of
from harness.runner.staged_units import Stages
from harness.runner.stages.survey import sample_of, survey, survey_layer
from harness.runner.sums import part_of
from harness.specs.chat import Chat
from harness.specs.plan import Plan
from harness.store.database import Store
from harness.store.tables.columns import Columns
from harness.store.tables.observations import EditActivity, FeatureActivity, SaeHealth
from tests.helpers.runs import quiet


def surveyed(
    context: RunContext, layers: Sequence[int], texts: Sequence[str | Chat]
) -> tuple[SaeHealth, list[FeatureActivity]]:
    """A survey of texts in one part: the rows of all layers, and each layer's activity."""
    texts = list(dict.fromkeys(texts))
    sums = survey(context, layers, texts)
    sample = sample_of(texts, sums)
    context.kept.clear()  # as where a stage begins
    found = [
        survey_layer(context, layer, len(texts), part_of(sums, str(layer)), sample)
        for layer in layers
    ]
    lines = [row for health, _ in found for row in health.rows()]
    return SaeHealth.of(lines), [activity for _, activity in found]


def survey_of_run(
    file: Path,
    plan: Plan,
    context: RunContext,
    progress: Progress = quiet,
    store_type: type[Store] = Store,
) -> list[Columns]:
    """The rows that a run's survey puts into a results file, or goes on to."""
    return _stored(
        file, plan, context, progress, store_type, add_up_survey, (SaeHealth, FeatureActivity)
    )


def profile_of_run(
    plan: Plan, context: RunContext, file: Path | None = None, progress: Progress = quiet
) -> EditActivity:
    """The rows of the profile of a plan's only ablation."""
    (ablation,) = plan.ablations

    def add_up(stages: Stages, plan: Plan, _: Store) -> None:
        add_up_profile(stages, plan, ablation, ())

    with TemporaryDirectory() as folder:
        file = file or Path(folder) / "r.duckdb"
        (rows,) = _stored(file, plan, context, progress, Store, add_up, (EditActivity,))
    return rows


def _stored(
    file: Path,
    plan: Plan,
    context: RunContext,
    progress: Progress,
    store_type: type[Store],
    add_up: Callable[[Stages, Plan, Store], None],
    kinds: Sequence[type[Columns]],
) -> list[Columns]:
    with store_type.open(file) as store:
        stages = Stages(crew_of(context, plan), plan, store, progress)
        add_up(stages, plan, store)
        return [store.read(kind, context.run_id) for kind in kinds]
