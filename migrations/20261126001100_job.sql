-- Long work of the admin API: told at once, done later, by whichever admin server is free.

CREATE TABLE job (
    job_id       uuid PRIMARY KEY,
    site_id      uuid,
    kind         text NOT NULL,
    input        jsonb NOT NULL,
    state        text NOT NULL DEFAULT 'queued' CONSTRAINT job_state_known
                 CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    cancelling   boolean NOT NULL DEFAULT false,
    done         bigint NOT NULL DEFAULT 0,
    total        bigint,
    position     jsonb,
    result       jsonb,
    error        text,
    created_by   uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    not_before   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    attempts     integer NOT NULL DEFAULT 0,
    lease        uuid,
    lease_until  timestamptz,
    CONSTRAINT job_finished_when CHECK ((finished_at IS NOT NULL) = (state IN ('done', 'failed', 'cancelled')))
);
COMMENT ON COLUMN job.site_id IS 'Null: it concerns the deployment. No foreign key: the job that erases a site outlives it.';
COMMENT ON COLUMN job.input IS 'What it was asked for; its kind says how it looks.';
COMMENT ON COLUMN job.cancelling IS 'Somebody wants it to end; whoever runs it sees that at its next step.';
COMMENT ON COLUMN job.position IS 'How far it has come, for whoever takes it over.';
COMMENT ON COLUMN job.attempts IS 'How often it was begun or taken over.';
COMMENT ON COLUMN job.lease IS 'Who runs it: the random choice of one take. Writes of an earlier one are refused.';
COMMENT ON COLUMN job.lease_until IS 'After that anybody may take it over.';
-- What is to be done next.
CREATE INDEX job_open ON job (not_before, job_id) WHERE state IN ('queued', 'running');
-- Lists, the newest first.
CREATE UNIQUE INDEX job_by_age ON job (created_at DESC, job_id DESC);
CREATE INDEX job_by_site ON job (site_id, created_at DESC);
-- A site is ended and erased once.
CREATE UNIQUE INDEX job_once ON job (site_id, kind) WHERE kind IN ('site.erase', 'site.expire') AND state IN ('queued', 'running');
