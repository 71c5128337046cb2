-- How like its controls each ablation's target is where they are edited, in standard deviations of the layer.
-- $run = latest: the run
SELECT ablation, property, target, controls, difference,
       CASE WHEN abs(difference) > 0.75 THEN 'untestable' WHEN abs(difference) > 0.25 THEN 'named' ELSE '' END
           AS apart,
       origin
FROM control_balance
WHERE run_id = $run
ORDER BY ablation, property
