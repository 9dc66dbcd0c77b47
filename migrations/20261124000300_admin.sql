-- What the admin API needs of its own: keys, requests that may come twice, the audit log, and more about sites.

ALTER TABLE site
    ADD COLUMN kind text NOT NULL DEFAULT 'live' CONSTRAINT site_kind_known CHECK (kind IN ('live', 'sandbox')),
    ADD COLUMN suspended_reason text,
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN site.suspended_reason IS 'Why, in words for the site''s admins; null unless suspended by the API.';
-- Lists show the newest first.
CREATE UNIQUE INDEX site_by_age ON site (created_at DESC, site_id DESC);

CREATE TABLE api_key (
    key_id       uuid PRIMARY KEY,
    hash         bytea NOT NULL CONSTRAINT api_key_hash_length CHECK (octet_length(hash) = 32),
    name         text NOT NULL,
    role         text NOT NULL CONSTRAINT api_key_role_known
                 CHECK (role IN ('operator', 'owner', 'admin', 'support', 'auditor', 'readonly')),
    scopes       text[],
    site_ids     uuid[],
    created_by   uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT api_key_hash_unique UNIQUE (hash),
    CONSTRAINT api_key_has_sites CHECK (role = 'operator' OR cardinality(site_ids) > 0)
);
COMMENT ON COLUMN api_key.hash IS 'SHA-256 of the key, which is told once and not kept.';
COMMENT ON COLUMN api_key.scopes IS 'Null: all that the role has; else only these of them.';
COMMENT ON COLUMN api_key.site_ids IS 'Null, for operators: all sites.';
COMMENT ON COLUMN api_key.last_used_at IS 'To the minute.';

CREATE TABLE idempotency (
    key_id          uuid NOT NULL REFERENCES api_key,
    idempotency_key text NOT NULL,
    request         bytea NOT NULL CONSTRAINT idempotency_request_length CHECK (octet_length(request) = 32),
    status          smallint NOT NULL,
    answer          text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key_id, idempotency_key)
);
COMMENT ON TABLE idempotency IS 'POST requests that succeeded, written with their effect, so that a repeated one has none.';
COMMENT ON COLUMN idempotency.request IS 'SHA-256 of method, path and body.';
-- Old ones go.
CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE audit (
    audit_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    site_id      uuid,
    key_id       uuid,
    action       text NOT NULL,
    target       text NOT NULL,
    from_address text NOT NULL,
    request_id   uuid NOT NULL,
    before       jsonb,
    after        jsonb
);
COMMENT ON TABLE audit IS 'Who changed what, when, from where. Only ever added to.';
COMMENT ON COLUMN audit.site_id IS 'Null: it concerned the deployment.';
COMMENT ON COLUMN audit.key_id IS 'Null: tmtpctl, with the database''s own password.';
CREATE INDEX audit_by_site ON audit (site_id, audit_id DESC);

CREATE FUNCTION audit_is_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only ever added to';
END $$;
CREATE TRIGGER audit_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_for_good();
