-- What the model says by itself, beside the two answers and which of them it prefers (nats).
-- $run = latest: the run
SELECT
    p.prompt_id, p.prompt, g.decoded_answer, p.correct, p.misconception, b.logit_difference, b.origin
FROM behaviour b
JOIN prompts p USING (run_id, prompt_id)
LEFT JOIN generations g USING (run_id, prompt_id)
WHERE b.run_id = $run
ORDER BY p.line
