-- The delivery trace: the steps of messages on their way, never what they say.

CREATE TABLE trace_pack (
    site_id  uuid NOT NULL,
    span     bigint NOT NULL,
    seq      bigint NOT NULL,
    until_ms bigint NOT NULL,
    first_id bigint NOT NULL,
    last_id  bigint NOT NULL,
    pack     bytea NOT NULL,
    PRIMARY KEY (site_id, span, seq, until_ms)
);
ALTER TABLE trace_pack ALTER COLUMN pack SET STORAGE EXTERNAL;
COMMENT ON TABLE trace_pack IS 'Steps that messages of one span of time took between two spills, packed. Written with the spill. No foreign key: a spill must never be refused for a site that is gone.';
COMMENT ON COLUMN trace_pack.span IS 'The span of time that the messages are of, by their ids; a late step is with its message.';
COMMENT ON COLUMN trace_pack.until_ms IS 'When it was spilled (ms since 1970); past the time that traces are kept the row goes.';
COMMENT ON COLUMN trace_pack.seq IS 'Commits of the shard until the spill: no clock orders packs.';
COMMENT ON COLUMN trace_pack.first_id IS 'The lowest id of a message in the pack.';
COMMENT ON COLUMN trace_pack.last_id IS 'The highest.';
-- What is past its time.
CREATE INDEX trace_pack_by_age ON trace_pack (until_ms);
CALL open_to_reader('trace_pack', '{site_id, span, seq, until_ms, first_id, last_id, pack}');

CREATE TABLE trace_drop (
    site_id    uuid NOT NULL,
    uid        bytea NOT NULL,
    node       smallint NOT NULL,
    msg_id     bigint NOT NULL,
    reason     text NOT NULL CHECK (reason IN ('admin', 'revoked', 'deactivated', 'quiet')),
    dropped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, uid, node, msg_id)
);
COMMENT ON TABLE trace_drop IS 'Queues of devices that were dropped whole: one row says it of all messages that waited there.';
COMMENT ON COLUMN trace_drop.msg_id IS 'The highest id that a message could have then.';
-- What is past its time.
CREATE INDEX trace_drop_by_age ON trace_drop (dropped_at);
CALL open_to_reader('trace_drop', '{site_id, uid, node, msg_id, reason, dropped_at}');
