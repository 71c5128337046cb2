-- Which site of its blocks a run's dictionaries are of; until here the stream after each.
ALTER TABLE runs ADD COLUMN hook VARCHAR;
UPDATE runs SET hook = 'resid_post';
