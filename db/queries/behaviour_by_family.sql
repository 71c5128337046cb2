-- What the model prefers in each family: log p(right) - log p(misconception), nats, after either context.
-- $run = latest: the run
SELECT family, split, n_pairs, after_correct, after_misconception, difference, agrees, origin
FROM family_contrasts
WHERE run_id = $run
ORDER BY (after_correct + after_misconception) / 2 DESC, family
