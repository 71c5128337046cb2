-- Each SAE's file and hash, and the memory that a run took. Of earlier runs the files are not known.
ALTER TABLE runs ADD COLUMN sae_files VARCHAR[] DEFAULT [];
ALTER TABLE runs ADD COLUMN sae_hashes VARCHAR[] DEFAULT [];
ALTER TABLE runs ALTER COLUMN sae_files SET NOT NULL;
ALTER TABLE runs ALTER COLUMN sae_hashes SET NOT NULL;
ALTER TABLE runs ALTER COLUMN sae_files DROP DEFAULT;
ALTER TABLE runs ALTER COLUMN sae_hashes DROP DEFAULT;
ALTER TABLE runs ADD COLUMN peak_memory BIGINT;
ALTER TABLE runs ADD COLUMN peak_device_memory BIGINT;
