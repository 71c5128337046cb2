-- Where a run's features have pages on Neuronpedia, how many threads computed it, which spec its verdicts
-- were drawn with since, and which views the file has.
ALTER TABLE runs ADD COLUMN neuronpedia VARCHAR[];
ALTER TABLE runs ADD COLUMN threads INTEGER;
ALTER TABLE runs ADD COLUMN analysed_spec VARCHAR;
ALTER TABLE schema_version ADD COLUMN views VARCHAR;
