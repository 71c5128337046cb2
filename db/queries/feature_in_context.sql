-- Where a feature fires: the tokens around its peak, in the prompt of each family where it is strongest.
-- $run = latest: the run
-- $layer: the block that the SAE reads, from 0
-- $feature: its index
-- $prompts = 3: how many prompts
-- $around = 24: how many tokens on either side of the peak
WITH values_here AS (
    FROM token_activations
    WHERE run_id = $run AND layer = $layer::INTEGER AND feature = $feature::INTEGER
),
peaks AS (
    SELECT p.family, p.prompt_id, p.label, max(v.value) AS peak, arg_max(v.position, v.value) AS peak_at
    FROM values_here v
    JOIN prompts p USING (run_id, prompt_id)
    GROUP BY p.family, p.prompt_id, p.label
    QUALIFY row_number() OVER (PARTITION BY p.family ORDER BY peak DESC, p.prompt_id) = 1
    ORDER BY peak DESC, p.prompt_id
    LIMIT $prompts::BIGINT
)
SELECT
    k.family, k.prompt_id, k.label, k.peak, t.position, t.part, t.token, coalesce(v.value, 0) AS value,
    max(t.position) OVER (PARTITION BY t.prompt_id) AS last_position, t.origin
FROM peaks k
JOIN prompt_tokens t ON t.run_id = $run AND t.prompt_id = k.prompt_id
LEFT JOIN values_here v ON v.prompt_id = t.prompt_id AND v.position = t.position
QUALIFY abs(t.position - k.peak_at) <= $around::BIGINT
ORDER BY k.peak DESC, k.prompt_id, t.position
