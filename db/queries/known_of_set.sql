-- What is known of a selected set: each claim about it, by the question that it answers, of each eval's last
-- finished run on each target.
-- $set: the eval that froze it and its ablation, as voices/top
SELECT question, c.spec_name, c.claim, c.verdict, c.estimate, c.ci_low, c.ci_high, c.unit, c.p, c.because,
    c.target, c.run_id, c.exploratory, c.origin
FROM set_claims c
SEMI JOIN latest_verdicts USING (run_id)
WHERE of_set = $set
ORDER BY c.target, list_position([
    'difference', 'necessity', 'own values', 'baseline', 'no effect', 'sufficiency', 'completeness', 'minimality',
    'doses', 'specificity', 'stability', 'other splits', 'tokens', 'transfer'
], question), c.spec_name, c.claim
