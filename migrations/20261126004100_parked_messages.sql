-- Where a message goes that the database does not take as rows of `message` and `inbox`, whatever the reason: it must
-- neither be lost nor hold up the others of its shard. Empty, unless there is a bug or a foreign hand.

CREATE TABLE message_parked (
    site_id   uuid NOT NULL,
    msg_id    bigint NOT NULL,
    header    bytea NOT NULL,
    body      bytea,
    body_id   uuid,
    uids      bytea[] NOT NULL,
    nodes     smallint[] NOT NULL,
    urgencies smallint[] NOT NULL,
    reason    text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, msg_id),
    CONSTRAINT message_parked_places CHECK (cardinality(uids) = cardinality(nodes)
                                            AND cardinality(uids) = cardinality(urgencies))
);
ALTER TABLE message_parked ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON TABLE message_parked IS 'Messages whose rows were refused. To deliver one after all, insert it into message (owed = cardinality(uids)) and its places (uids, nodes, urgencies, side by side) into inbox, and delete it here.';
COMMENT ON COLUMN message_parked.uids IS 'Whose nodes are owed it, one item per node.';
COMMENT ON COLUMN message_parked.reason IS 'What the database said.';
