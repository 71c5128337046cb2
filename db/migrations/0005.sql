-- Where a run's features have pages on Neuronpedia, how many threads computed it, and which views the
-- file has.
ALTER TABLE runs ADD COLUMN neuronpedia VARCHAR[];
ALTER TABLE runs ADD COLUMN threads INTEGER;
ALTER TABLE schema_version ADD COLUMN views VARCHAR;
