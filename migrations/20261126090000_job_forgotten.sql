-- What a job was asked for may name people, who may be erased later: it goes when the job ends, and the job after a while.

UPDATE job SET input = '{}', position = NULL WHERE finished_at IS NOT NULL;
COMMENT ON COLUMN job.input IS 'What it was asked for; its kind says how it looks. Empty once it has ended: it may name people.';
COMMENT ON COLUMN job.position IS 'How far it has come, for whoever takes it over. Null once it has ended.';
-- Those that ended long ago and are forgotten.
CREATE INDEX job_by_end ON job (finished_at) WHERE finished_at IS NOT NULL;
