-- Every run, the newest first.
SELECT run_id, spec_name, target, status, origin, exploratory, sae, dtype, device, wall_seconds
FROM runs
ORDER BY created_at DESC
