-- What a site allows its members: one document, and what it was before.

ALTER TABLE site
    ADD COLUMN policy jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN policy_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN site.policy IS 'What is set; the rest is as the release''s defaults say.';
COMMENT ON COLUMN site.policy_version IS 'Counts the changes of the policy; 0: nothing was ever set.';

CREATE TABLE site_policy_history (
    site_id    uuid NOT NULL REFERENCES site ON DELETE CASCADE,
    version    bigint NOT NULL,
    policy     jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    key_id     uuid,
    PRIMARY KEY (site_id, version)
);
COMMENT ON TABLE site_policy_history IS 'Every policy that a site has had, the present one included.';
COMMENT ON COLUMN site_policy_history.policy IS 'What was set.';
COMMENT ON COLUMN site_policy_history.key_id IS 'The API key that it was changed with; null: none.';
