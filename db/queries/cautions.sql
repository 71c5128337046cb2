-- Claims whose verdict rests on features of a layer whose SAE has a warning: each such feature, or none
-- where the verdict rests on too few of the layer being significant.
-- $run = latest: the run
WITH counted AS (
    SELECT c.run_id, c.claim, t.layer, t.feature
    FROM claims c
    JOIN verdicts v USING (run_id, claim)
    JOIN feature_tests t USING (run_id)
    WHERE c.run_id = $run AND c.kind = 'features' AND t.split = 'confirmation' AND t.p_adjusted <= v.alpha
),
rested AS (
    FROM counted
    UNION ALL
    SELECT c.run_id, c.claim, h.layer, NULL
    FROM claims c
    JOIN sae_health h USING (run_id)
    ANTI JOIN counted USING (run_id, claim, layer)
    WHERE c.run_id = $run AND c.kind = 'features'
        AND (c.at_most IS NOT NULL OR c.verdict = 'inconclusive')
    UNION ALL
    SELECT DISTINCT c.run_id, c.claim, i.layer, i.feature
    FROM claims c
    JOIN interventions i ON i.run_id = c.run_id AND i.ablation = c.about AND i.role = 'target'
    WHERE c.run_id = $run AND c.kind NOT IN ('behaviour', 'features')
)
SELECT c.claim, c.about, c.verdict, r.layer, r.feature, h.warning, c.exploratory, c.origin
FROM rested r
JOIN claims c USING (run_id, claim)
JOIN sae_health h USING (run_id, layer)
WHERE h.warning <> ''
ORDER BY c.claim, r.layer, r.feature
