-- How often a feature fires how strongly: the tokens of the confirming families' prompts and answers, by
-- its value on them; those on which it is silent are counted in `n_tokens` alone, and BOS not at all.
-- $run = latest: the run
-- $layer: the block that the SAE reads, from 0
-- $feature: its index
-- $bins = 30: how many steps of equal size, from 0 to its largest value
WITH here AS (
    SELECT
        p.label, t.origin, max(t.value) OVER () / $bins::BIGINT AS step,
        least(floor(t.value / step), $bins::BIGINT - 1) AS bin
    FROM token_activations t
    JOIN prompts p USING (run_id, prompt_id)
    WHERE t.run_id = $run AND t.layer = $layer::INTEGER AND t.feature = $feature::INTEGER
        AND isfinite(t.value)
)
SELECT
    bin * step AS value_from, (bin + 1) * step AS value_to, label, count(*) AS tokens,
    (SELECT count(*) FROM prompt_tokens WHERE run_id = $run AND position > 0) AS n_tokens,
    any_value(origin) AS origin
FROM here
GROUP BY bin, step, label
ORDER BY bin, label
