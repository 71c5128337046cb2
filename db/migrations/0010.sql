-- How many families lie as a claim says, with the interval of their share.
ALTER TABLE verdicts ADD COLUMN n_toward INTEGER;
ALTER TABLE verdicts ADD COLUMN share_low DOUBLE;
ALTER TABLE verdicts ADD COLUMN share_high DOUBLE;

-- How many features the selection's score could not order.
ALTER TABLE interventions ADD COLUMN tied INTEGER;
