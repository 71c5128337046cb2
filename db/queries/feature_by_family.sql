-- A feature's mean difference in each family, the strongest first: which families carry it.
-- $run = latest: the run
-- $layer: the block that the SAE reads, from 0
-- $feature: its index
SELECT
    family, split, count(*) AS n_pairs, avg(difference) AS mean_difference,
    count(*) FILTER (difference > 0) AS pairs_above, count(*) FILTER (difference < 0) AS pairs_below,
    any_value(origin) AS origin
FROM pairs_of_feature($run, $layer::INTEGER, $feature::INTEGER)
GROUP BY family, split
ORDER BY abs(mean_difference) DESC, family
