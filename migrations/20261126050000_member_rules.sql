-- What sites allow single members and single groups, and who has written to whom.

ALTER TABLE member
    ADD COLUMN receive_only boolean NOT NULL DEFAULT false,
    ADD COLUMN away_text text,
    ADD COLUMN away_until timestamptz,
    ADD COLUMN away_delegate bytea;
COMMENT ON COLUMN member.receive_only IS 'It gets messages and cannot send any.';
COMMENT ON COLUMN member.away_text IS 'What those who write to it are told; null: it is not away.';
COMMENT ON COLUMN member.away_until IS 'Then it is not away any more; null: until it is set otherwise.';
COMMENT ON COLUMN member.away_delegate IS 'The uid of who gets copies of what names the member.';

CREATE TABLE group_rule (
    site_id uuid NOT NULL,
    gid     text NOT NULL,
    mode    text NOT NULL CONSTRAINT group_rule_mode_known
        CHECK (mode IN ('free', 'closed', 'moderated', 'announce', 'open')),
    posters bytea[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (site_id, gid),
    CONSTRAINT group_rule_name FOREIGN KEY (site_id, gid) REFERENCES name ON DELETE CASCADE
);
COMMENT ON TABLE group_rule IS 'Groups that are not as the protocol describes them. The shard''s owner changes it.';
COMMENT ON COLUMN group_rule.posters IS 'Uids of those who post where not all do.';
CALL open_to_reader('group_rule');

CREATE TABLE acquaintance (
    site_id  uuid NOT NULL,
    uid      bytea NOT NULL,
    with_uid bytea NOT NULL,
    PRIMARY KEY (site_id, uid, with_uid),
    CONSTRAINT acquaintance_member FOREIGN KEY (site_id, uid) REFERENCES member ON DELETE CASCADE,
    CONSTRAINT acquaintance_with FOREIGN KEY (site_id, with_uid) REFERENCES member ON DELETE CASCADE
);
COMMENT ON TABLE acquaintance IS 'Who has written to whom, at sites where only that lets members post to each other.';
COMMENT ON COLUMN acquaintance.uid IS 'Who may post.';
COMMENT ON COLUMN acquaintance.with_uid IS 'To whom: it has written to the other one before.';
-- Members that go take their acquaintances with them.
CREATE INDEX acquaintance_by_other ON acquaintance (site_id, with_uid);

ALTER TABLE node ADD COLUMN quiet_warned_at timestamptz;
COMMENT ON COLUMN node.quiet_warned_at IS 'When its user was warned that it was not used for long; a login after that makes it void.';
