-- The first schema: sites and their members, shards with their journal, and the rows of what stays undelivered.
-- Every key starts with the site, except the bookkeeping of shards.

-- One row: what can never change after the first migration.
CREATE TABLE deployment (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT deployment_one_row CHECK (only_row),
    shards   smallint NOT NULL CONSTRAINT deployment_shards_range CHECK (shards BETWEEN 1 AND 4096)
);
COMMENT ON COLUMN deployment.shards IS 'Number of shards; a site''s shard is a hash of its id over this number.';

-- Counts changes of sites, so that directories can ask what is new since.
CREATE SEQUENCE site_revision;

CREATE TABLE site (
    site_id      uuid PRIMARY KEY,
    shard_id     smallint NOT NULL,
    revision     bigint NOT NULL,
    name         text NOT NULL,
    registration text NOT NULL CONSTRAINT site_registration_known CHECK (registration IN ('open', 'closed')),
    status       text NOT NULL DEFAULT 'active' CONSTRAINT site_status_known CHECK (status IN ('active', 'suspended')),
    created_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN site.shard_id IS 'The shard it belongs to for good; kept so that nobody has to compute it.';
COMMENT ON COLUMN site.revision IS 'site_revision at its last change; see the trigger site_revised.';
COMMENT ON COLUMN site.name IS 'What clients show.';
-- Directories read what has changed since a revision, and the highest one once a second.
CREATE UNIQUE INDEX site_by_revision ON site (revision);

-- A revision must not become visible after a higher one, or a directory would miss it: changes of sites are rare, so
-- they go one at a time.
CREATE FUNCTION site_revise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7345101);
    NEW.revision := nextval('site_revision');
    RETURN NEW;
END $$;
CREATE TRIGGER site_revised BEFORE INSERT OR UPDATE ON site FOR EACH ROW EXECUTE FUNCTION site_revise();

CREATE TABLE site_domain (
    site_id uuid NOT NULL REFERENCES site ON DELETE CASCADE,
    domain  text NOT NULL CONSTRAINT site_domain_lower CHECK (domain = lower(domain)),
    PRIMARY KEY (site_id, domain),
    CONSTRAINT site_domain_unique UNIQUE (domain)
);
COMMENT ON COLUMN site_domain.domain IS 'A host name under which clients reach the site; a leading *. stands for one label.';

CREATE TABLE member (
    site_id    uuid NOT NULL REFERENCES site,
    uid        bytea NOT NULL CONSTRAINT member_uid_length CHECK (octet_length(uid) = 20),
    status     text NOT NULL DEFAULT 'active' CONSTRAINT member_status_known CHECK (status IN ('active', 'suspended')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, uid)
);

CREATE TABLE node (
    site_id    uuid NOT NULL,
    uid        bytea NOT NULL,
    num        smallint NOT NULL,
    secret     bytea NOT NULL CONSTRAINT node_secret_length CHECK (octet_length(secret) = 32),
    label      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, uid, num),
    CONSTRAINT node_secret_unique UNIQUE (site_id, secret),
    CONSTRAINT node_member FOREIGN KEY (site_id, uid) REFERENCES member
);
COMMENT ON COLUMN node.num IS 'Counts the nodes of a user from 1; never reused.';
COMMENT ON COLUMN node.secret IS 'SHA-256 of the node''s password; the password itself is told once and not kept.';

-- Aliases, and later groups: one name space, so that no alias can look like a group.
CREATE TABLE name (
    site_id    uuid NOT NULL REFERENCES site,
    name       text NOT NULL,
    uid        bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, name),
    CONSTRAINT name_member FOREIGN KEY (site_id, uid) REFERENCES member
);
COMMENT ON COLUMN name.uid IS 'Whose alias it is.';
-- A member's own aliases.
CREATE INDEX name_by_uid ON name (site_id, uid);

CREATE TABLE worker (
    worker_id   uuid PRIMARY KEY,
    lease_until timestamptz NOT NULL
);
COMMENT ON COLUMN worker.lease_until IS 'Until then its shards are its own; moved by its heartbeat.';

CREATE TABLE shard (
    shard_id       smallint PRIMARY KEY,
    owner          uuid,
    epoch          bigint NOT NULL DEFAULT 0,
    commits        bigint NOT NULL DEFAULT 0,
    last_entry_ms  bigint NOT NULL DEFAULT 0,
    last_entry_seq bigint NOT NULL DEFAULT 0,
    last_msg_id    bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
COMMENT ON COLUMN shard.owner IS 'The worker that has taken it; null when given back.';
COMMENT ON COLUMN shard.epoch IS 'Counts its owners. A commit names the epoch it was decided under and fails under another.';
COMMENT ON COLUMN shard.commits IS 'Counts its commits, so that a commit whose answer was lost can be told from one that failed.';
COMMENT ON COLUMN shard.last_entry_ms IS 'With last_entry_seq: id of the last applied entry of its command stream.';
COMMENT ON COLUMN shard.last_msg_id IS 'The highest message id that it has given.';

CREATE TABLE journal (
    shard_id smallint NOT NULL,
    seq      bigint NOT NULL,
    epoch    bigint NOT NULL,
    entry    bytea NOT NULL,
    PRIMARY KEY (shard_id, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000);
-- Entries are written once and read at most once: compressing them costs more than it saves.
ALTER TABLE journal ALTER COLUMN entry SET STORAGE EXTERNAL;
COMMENT ON TABLE journal IS 'The effects of each commit on a shard, until they are spilled. Empty when the system is idle.';
COMMENT ON COLUMN journal.seq IS 'shard.commits of the commit that wrote it.';

CREATE TABLE receipts (
    shard_id smallint NOT NULL,
    until_ms bigint NOT NULL,
    seq      bigint NOT NULL,
    pack     bytea NOT NULL,
    PRIMARY KEY (shard_id, until_ms, seq)
);
ALTER TABLE receipts ALTER COLUMN pack SET STORAGE EXTERNAL;
COMMENT ON TABLE receipts IS 'Requests that succeeded, one packed row per shard and spill, for recognising resent ones.';
COMMENT ON COLUMN receipts.until_ms IS 'Time of the youngest receipt in the pack (ms since 1970); past the window the row goes.';

CREATE TABLE message (
    site_id  uuid NOT NULL,
    msg_id   bigint NOT NULL,
    owed     integer NOT NULL,
    header   bytea NOT NULL,
    body     bytea,
    body_id  uuid,
    queued_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, msg_id)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
-- Bodies are often encrypted or compressed by clients already.
ALTER TABLE message ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON TABLE message IS 'Messages that stayed undelivered longer than a spill period.';
COMMENT ON COLUMN message.owed IS 'How many nodes have not acked it; the row goes with the last.';
COMMENT ON COLUMN message.header IS 'All but an inline body, encoded as the contract has it.';

CREATE TABLE inbox (
    site_id uuid NOT NULL,
    uid     bytea NOT NULL,
    node    smallint NOT NULL,
    urgency smallint NOT NULL,
    msg_id  bigint NOT NULL,
    PRIMARY KEY (site_id, uid, node, urgency, msg_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE inbox IS 'Which node is owed which spilled message. The key is the order of delivery.';
COMMENT ON COLUMN inbox.urgency IS '0 overtakes everything, 1 waits its turn.';

CREATE TABLE body (
    site_id uuid NOT NULL,
    body_id uuid NOT NULL,
    len     bigint NOT NULL,
    chunk   integer NOT NULL,
    PRIMARY KEY (site_id, body_id)
);
COMMENT ON TABLE body IS 'Which bodies of the body store a queued message refers to. The sweeper removes those that are not here.';
COMMENT ON COLUMN body.chunk IS 'Octets of each chunk but the last.';
