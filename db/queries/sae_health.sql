-- Does each SAE fit the model?
-- $run = latest: the run
SELECT
    r.hook, h.layer, h.width, h.n_positions, h.l0, h.fvu_median, h.dead, h.loss_recovered, h.warning, h.origin
FROM sae_health h
JOIN runs r USING (run_id)
WHERE h.run_id = $run
ORDER BY h.layer
