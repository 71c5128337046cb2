-- How much of its own activation each feature of an ablation has in neutral texts with its strongest tokens in them.
-- $run = latest: the run
SELECT
    ablation, gram, placement, coalesce(layer || ':' || feature, 'the set') AS feature,
    array_to_string(tokens, ' | ') AS tokens, base, injected, own, share, ci_low, ci_high, cohens_d, driven, origin
FROM injection_summary
WHERE run_id = $run
ORDER BY ablation, injection_summary.layer NULLS FIRST, injection_summary.feature, gram, placement
