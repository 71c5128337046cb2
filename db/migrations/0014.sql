-- What is known of a set: the same over several splits, with other dictionaries, and what it writes.

-- What the same selection finds in a random dictionary: features that a set must beat.
CREATE TABLE random_features (
    run_id VARCHAR NOT NULL,
    ablation VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    score DOUBLE NOT NULL,
    threshold DOUBLE NOT NULL,
    firing_rate DOUBLE NOT NULL,
    mean_value DOUBLE,
    factor DOUBLE NOT NULL,
    edit_size DOUBLE NOT NULL,
    origin VARCHAR NOT NULL
);

-- Sequences of tokens that are put into neutral texts as one; until here single tokens.
ALTER TABLE injected_tokens ADD COLUMN gram INTEGER DEFAULT 1;
ALTER TABLE injected_tokens ADD COLUMN before INTEGER[] DEFAULT [];
ALTER TABLE injected_tokens ALTER COLUMN gram SET NOT NULL;
ALTER TABLE injected_tokens ALTER COLUMN before SET NOT NULL;
ALTER TABLE injected_tokens ALTER COLUMN gram DROP DEFAULT;
ALTER TABLE injected_tokens ALTER COLUMN before DROP DEFAULT;
ALTER TABLE injection_tests ADD COLUMN gram INTEGER DEFAULT 1;
ALTER TABLE injection_tests ALTER COLUMN gram SET NOT NULL;
ALTER TABLE injection_tests ALTER COLUMN gram DROP DEFAULT;
ALTER TABLE injections ADD COLUMN gram INTEGER;
UPDATE injections SET gram = 1 WHERE placement <> '';
