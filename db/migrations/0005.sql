-- Where a run's features have pages on Neuronpedia, and which views the file has.
ALTER TABLE runs ADD COLUMN neuronpedia VARCHAR[];
ALTER TABLE schema_version ADD COLUMN views VARCHAR;
