-- Where two runs differ: rows of each table, and how many of them the other run does not have.
-- $run_a: the one
-- $run_b = latest: the other
FROM differences($run_a, $run_b)
