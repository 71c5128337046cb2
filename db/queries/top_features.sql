-- The features that differ most between the variants: effect with its interval, adjusted p, how often
-- each fires, its page on Neuronpedia, and what that says of it where `harness label` asked.
-- $run = latest: the run
-- $limit = 20: how many
SELECT
    rank, layer, feature, mean_difference, ci_low, ci_high, d_z, p_adjusted, firing_rate, page,
    exploratory, origin, label
FROM top_features
WHERE run_id = $run
ORDER BY rank, layer, feature
LIMIT $limit::BIGINT
