-- What admins know and do about members, their devices and names.

ALTER TABLE member
    DROP CONSTRAINT member_status_known,
    ADD CONSTRAINT member_status_known CHECK (status IN ('active', 'suspended', 'deactivated')),
    ADD COLUMN external_id text,
    ADD COLUMN suspended_reason text,
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN suspended_until timestamptz,
    ADD COLUMN suspended_by uuid;
COMMENT ON COLUMN member.external_id IS 'What the site''s own systems call the member.';
COMMENT ON COLUMN member.suspended_until IS 'Then an admin server ends the suspension; null: somebody has to.';
COMMENT ON COLUMN member.suspended_by IS 'The key it was done with; the suspension ends in its name.';
CREATE UNIQUE INDEX member_by_external_id ON member (site_id, external_id) WHERE external_id IS NOT NULL;
-- Lists show the newest first.
CREATE UNIQUE INDEX member_by_age ON member (site_id, created_at DESC, uid DESC);
-- Suspensions that end by themselves.
CREATE INDEX member_by_suspended_until ON member (suspended_until) WHERE suspended_until IS NOT NULL;

ALTER TABLE node
    ADD COLUMN revoked_at timestamptz,
    ADD COLUMN last_seen_at timestamptz;
COMMENT ON COLUMN node.revoked_at IS 'It has ended: no login, no messages. The row keeps its number from being used again.';
COMMENT ON COLUMN node.last_seen_at IS 'When a session there began or ended last, to the minute.';

ALTER TABLE name
    ADD COLUMN reserved_at timestamptz,
    ADD CONSTRAINT name_reserved_is_nobodys CHECK (reserved_at IS NULL OR uid IS NULL);
COMMENT ON COLUMN name.reserved_at IS 'Since when nobody may take it; then it is neither an alias nor a group.';
