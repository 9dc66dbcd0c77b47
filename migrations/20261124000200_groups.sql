-- Groups: their names stand in `name` beside the aliases, so that the two can never be equal.

ALTER TABLE name ALTER COLUMN uid DROP NOT NULL;
COMMENT ON COLUMN name.uid IS 'Whose alias it is; null for a group.';

CREATE TABLE group_member (
    site_id uuid NOT NULL,
    gid     text NOT NULL,
    uid     bytea NOT NULL,
    status  text NOT NULL CONSTRAINT group_member_status_known CHECK (status IN ('invited', 'joined', 'barred')),
    alias   text NOT NULL,
    PRIMARY KEY (site_id, gid, uid),
    CONSTRAINT group_member_name FOREIGN KEY (site_id, gid) REFERENCES name,
    CONSTRAINT group_member_member FOREIGN KEY (site_id, uid) REFERENCES member
);
COMMENT ON TABLE group_member IS 'Who is what to which group. The shard''s owner changes it; a post to a group reads all of one.';
COMMENT ON COLUMN group_member.gid IS 'The group''s name.';
COMMENT ON COLUMN group_member.status IS 'invited may join and post, joined receives too, barred was dropped by another member.';
COMMENT ON COLUMN group_member.alias IS 'Under which of its aliases the group knows the member.';
-- A member's own groups, and the foreign key.
CREATE INDEX group_member_by_uid ON group_member (site_id, uid);
