-- How often the tests of a run call a feature different at each level. On the placebo the share is at
-- most the level, but for chance.
-- $run = placebo: the run
SELECT * EXCLUDE (run_id) FROM calibration($run)
