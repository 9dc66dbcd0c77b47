-- The body store's own table: bodies above the inline limit, cut into chunks. Used where no object store is configured.

CREATE TABLE body_chunk (
    site_id    uuid NOT NULL,
    body_id    uuid NOT NULL,
    seq        bigint NOT NULL CONSTRAINT body_chunk_seq_counts CHECK (seq >= 0),
    written_at timestamptz NOT NULL DEFAULT now(),
    octets     bytea NOT NULL,
    PRIMARY KEY (site_id, body_id, seq)
) WITH (
    -- Every row is written once and removed soon, so dead rows come as fast as new ones. A row here is small; its
    -- octets are some 30 rows of the TOAST table, which is what has to be kept from growing.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
    toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 50000,
    toast.autovacuum_vacuum_cost_limit = 2000
);
-- Bodies are often encrypted or compressed by clients already.
ALTER TABLE body_chunk ALTER COLUMN octets SET STORAGE EXTERNAL;
COMMENT ON TABLE body_chunk IS 'Chunks of large bodies. Unknown here: who refers to them; see the table body.';
COMMENT ON COLUMN body_chunk.seq IS 'Counts the chunks of a body from 0; an upload writes them in order.';
COMMENT ON COLUMN body_chunk.written_at IS 'An upload whose newest chunk is old, and that no message refers to, was given up.';
COMMENT ON COLUMN body_chunk.octets IS 'All chunks of a body but its last have the same length.';
-- No index on written_at: the sweeper walks the key from body to body, and looks at the newest chunk of each.
