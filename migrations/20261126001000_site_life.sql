-- The end of a site: deleted sites are kept for a while, then erased; sandboxes end by themselves.

ALTER TABLE site
    DROP CONSTRAINT site_status_known,
    ADD CONSTRAINT site_status_known CHECK (status IN ('active', 'suspended', 'deleted')),
    ADD COLUMN suspended_notice text,
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN expires_at timestamptz,
    ADD CONSTRAINT site_deleted_when CHECK ((status = 'deleted') = (deleted_at IS NOT NULL));
COMMENT ON COLUMN site.suspended_notice IS 'What the site''s members may be told about the suspension.';
COMMENT ON COLUMN site.suspended_at IS 'Also while it is deleted, so that a restored site is suspended again.';
COMMENT ON COLUMN site.deleted_at IS 'Its rows and domains stay for a while after that, so that it can be restored.';
COMMENT ON COLUMN site.expires_at IS 'When a sandbox is deleted by itself; null: never.';
UPDATE site SET suspended_at = changed_at WHERE status = 'suspended';
-- What is to be ended or erased.
CREATE INDEX site_by_expiry ON site (expires_at) WHERE expires_at IS NOT NULL AND status <> 'deleted';
CREATE INDEX site_by_deletion ON site (deleted_at) WHERE deleted_at IS NOT NULL;
-- Which keys a site has, and what a key has done.
CREATE INDEX api_key_by_site ON api_key USING gin (site_ids);
CREATE INDEX audit_by_key ON audit (key_id, audit_id DESC);
