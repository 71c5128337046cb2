-- How much of what is predicted of an ablation's layers lies outside of their dictionaries: all features together,
-- the SAE's error beside them, and the error's share of the sizes of both over families; on the spec's own split.
-- $run = latest: the run
SELECT
    ablation, layer, split, count(*) AS families, avg(features) AS features, avg(error) AS error,
    avg(constant) AS constant,
    sum(abs(error)) / nullif(sum(abs(error)) + sum(abs(features)), 0) AS error_share, any_value(e.origin) AS origin
FROM attribution_errors e
JOIN (SELECT DISTINCT run_id, family, split FROM prompts) USING (run_id, family)
WHERE run_id = $run AND NOT regexp_matches(ablation, '\.split-[0-9]+$')
GROUP BY ablation, layer, split
ORDER BY ablation, layer, split DESC
