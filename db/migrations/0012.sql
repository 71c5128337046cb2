-- What the two variants that are compared are called; until here by their roles.
ALTER TABLE runs ADD COLUMN variant_correct VARCHAR;
ALTER TABLE runs ADD COLUMN variant_misconception VARCHAR;
UPDATE runs SET variant_correct = 'correct', variant_misconception = 'misconception';
-- The registered metrics that a run names, and whose they are.
ALTER TABLE runs ADD COLUMN metrics VARCHAR;
ALTER TABLE prompts ADD COLUMN variant VARCHAR;
UPDATE prompts SET variant = label;
ALTER TABLE other_prompts ADD COLUMN variant VARCHAR;
UPDATE other_prompts SET variant = label;
-- The messages of a prompt that is a chat; until here there were none.
ALTER TABLE prompts ADD COLUMN messages VARCHAR;
ALTER TABLE other_prompts ADD COLUMN messages VARCHAR;

-- Sets of answers: the other members of a prompt's candidates, and of which member a token is.
ALTER TABLE prompts ADD COLUMN further VARCHAR;
ALTER TABLE other_prompts ADD COLUMN further VARCHAR;
ALTER TABLE answers ADD COLUMN member INTEGER;
ALTER TABLE impact_tokens ADD COLUMN member INTEGER;
