"""The rows of every table of the store, as columns.

A table's class holds its columns, each a sequence of shape (n_rows,), so that a million rows cost one
object. These classes are the only place in the code that names the store's columns;
`db/schema.sql` gives their types and `db/README.md` their meaning. Not here: SQL, and any computing.
"""

from harness.store.tables.columns import Columns
from harness.store.tables.interventions import (
    BaselineDirections,
    ControlBalance,
    Decoys,
    ImpactNoise,
    Impacts,
    ImpactTokens,
    InjectedTokens,
    Injections,
    Interventions,
    MatchedFeatures,
    RandomFeatures,
    SideEffects,
)
from harness.store.tables.observations import (
    Activations,
    Answers,
    AttributionErrors,
    Attributions,
    Baselines,
    EditActivity,
    FeatureActivity,
    FeatureLogits,
    Generations,
    OutputScores,
    PromptTokens,
    SaeHealth,
    TokenActivations,
    TopkLogits,
)
from harness.store.tables.results import (
    AblationTests,
    BaselineTests,
    CrossfitSplits,
    FeatureTests,
    InjectionTests,
    Moderators,
    SelectionOverlap,
    SelectionStability,
    Verdicts,
)
from harness.store.tables.runs import OtherPrompts, Prompts, PromptTags, Runs, Units

# The tables of a run: each has `run_id`. `feature_labels` is kept beside them for all runs.
TABLES: tuple[type[Columns], ...] = (
    Runs,
    Units,
    Prompts,
    PromptTags,
    OtherPrompts,
    Generations,
    TopkLogits,
    Answers,
    Baselines,
    Activations,
    PromptTokens,
    TokenActivations,
    FeatureLogits,
    OutputScores,
    SaeHealth,
    FeatureActivity,
    EditActivity,
    Attributions,
    AttributionErrors,
    Interventions,
    MatchedFeatures,
    ControlBalance,
    BaselineDirections,
    RandomFeatures,
    Impacts,
    ImpactTokens,
    ImpactNoise,
    SideEffects,
    Decoys,
    InjectedTokens,
    Injections,
    FeatureTests,
    AblationTests,
    BaselineTests,
    InjectionTests,
    CrossfitSplits,
    SelectionStability,
    SelectionOverlap,
    Moderators,
    Verdicts,
)
