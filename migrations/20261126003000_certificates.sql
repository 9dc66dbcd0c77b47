-- Certificates of sites: uploaded, or ordered by ACME. Private keys are sealed: this database cannot use them.

-- Counts changes of certificates, so that directories can ask what is new since.
CREATE SEQUENCE certificate_revision;

CREATE TABLE site_certificate (
    site_id        uuid NOT NULL REFERENCES site ON DELETE CASCADE,
    certificate_id uuid NOT NULL,
    revision       bigint NOT NULL,
    source         text NOT NULL CONSTRAINT site_certificate_source_known CHECK (source IN ('upload', 'acme')),
    names          text[] NOT NULL,
    issuer         text NOT NULL,
    chain          bytea[] NOT NULL,
    sealed_key     bytea NOT NULL,
    not_before     timestamptz NOT NULL,
    not_after      timestamptz NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    removed_at     timestamptz,
    PRIMARY KEY (site_id, certificate_id),
    CONSTRAINT site_certificate_id_unique UNIQUE (certificate_id),
    -- What is removed keeps no key, not even a sealed one.
    CONSTRAINT site_certificate_removed CHECK (
        (removed_at IS NULL) = (octet_length(sealed_key) > 0) AND (removed_at IS NULL) = (cardinality(chain) > 0)
    )
);
COMMENT ON COLUMN site_certificate.revision IS 'certificate_revision at its last change; see the trigger site_certificate_revised.';
COMMENT ON COLUMN site_certificate.names IS 'The host names that it is for; a leading *. stands for one label.';
COMMENT ON COLUMN site_certificate.chain IS 'In DER: its own first, then that of its issuer, and so on.';
COMMENT ON COLUMN site_certificate.sealed_key IS 'The private key under a key of the deployment that is not in this database.';
COMMENT ON COLUMN site_certificate.removed_at IS 'Set: only here still so that every gateway hears that it is to be forgotten.';
-- Directories read what has changed since a revision, and the highest one once a second.
CREATE UNIQUE INDEX site_certificate_by_revision ON site_certificate (revision);
-- What is about to expire, and what was removed long ago.
CREATE INDEX site_certificate_by_expiry ON site_certificate (not_after) WHERE removed_at IS NULL;
CREATE INDEX site_certificate_by_removal ON site_certificate (removed_at) WHERE removed_at IS NOT NULL;

-- A revision must not become visible after a higher one, or a directory would miss it. A lock of its own: certificates
-- and sites need not wait for each other.
CREATE FUNCTION site_certificate_revise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7345102);
    NEW.revision := nextval('certificate_revision');
    RETURN NEW;
END $$;
CREATE TRIGGER site_certificate_revised BEFORE INSERT OR UPDATE ON site_certificate
    FOR EACH ROW EXECUTE FUNCTION site_certificate_revise();

CREATE TABLE acme_account (
    directory          text PRIMARY KEY,
    sealed_credentials bytea NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE acme_account IS 'The account of this deployment at a certificate authority, by the URL of its ACME directory.';
COMMENT ON COLUMN acme_account.sealed_credentials IS 'Account and key, under a key of the deployment that is not in this database.';

CREATE TABLE acme_domain (
    site_id     uuid NOT NULL,
    domain      text NOT NULL,
    state       text NOT NULL DEFAULT 'waiting' CONSTRAINT acme_domain_state_known
                CHECK (state IN ('waiting', 'issued', 'failed')),
    next_at     timestamptz NOT NULL DEFAULT now(),
    attempts    integer NOT NULL DEFAULT 0,
    last_error  text,
    lease_owner uuid,
    lease_until timestamptz,
    enabled_at  timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, domain),
    CONSTRAINT acme_domain_of_site FOREIGN KEY (site_id, domain) REFERENCES site_domain ON DELETE CASCADE,
    -- The authority proves them over TLS, which is about one name.
    CONSTRAINT acme_domain_no_wildcard CHECK (domain NOT LIKE '*.%')
);
COMMENT ON TABLE acme_domain IS 'Domains whose certificate is ordered and renewed by ACME.';
COMMENT ON COLUMN acme_domain.next_at IS 'When it is to be tried next: at once, after a pause, or when its certificate is due.';
COMMENT ON COLUMN acme_domain.attempts IS 'Failures since the last success.';
COMMENT ON COLUMN acme_domain.last_error IS 'What the authority said, for the site''s admins.';
COMMENT ON COLUMN acme_domain.lease_owner IS 'The admin process that works on it, until lease_until.';
CREATE INDEX acme_domain_due ON acme_domain (next_at);
