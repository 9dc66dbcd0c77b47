-- Secrets that a job's result is told with, such as codes of invites.

ALTER TABLE job ADD COLUMN sealed text;
COMMENT ON COLUMN job.sealed IS 'Readable only with the API key that asked for the job; erased a day after it was asked for.';
-- Those that are to be erased.
CREATE INDEX job_by_sealed ON job (created_at) WHERE sealed IS NOT NULL;
