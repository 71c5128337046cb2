-- Does each SAE fit the model?
-- $run = latest: the run
SELECT layer, width, n_positions, l0, fvu_median, dead, loss_recovered, warning, origin
FROM sae_health
WHERE run_id = $run
ORDER BY layer
