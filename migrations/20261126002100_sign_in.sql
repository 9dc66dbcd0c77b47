-- Sign-in with OpenID Connect: the providers of sites, who signed in, which tokens were used, and what our own issuer
-- of tokens for invites needs.

CREATE TABLE oidc_provider (
    site_id     uuid NOT NULL REFERENCES site ON DELETE CASCADE,
    provider_id text NOT NULL,
    config      jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, provider_id)
);
COMMENT ON TABLE oidc_provider IS 'Whose sign-in tokens a site takes. The built-in issuer is not here: it follows from the site.';
COMMENT ON COLUMN oidc_provider.config IS 'The provider as it travels with the site to the gateways, provider_id included.';

CREATE TABLE identity (
    site_id    uuid NOT NULL,
    issuer     text NOT NULL,
    subject    text NOT NULL,
    uid        bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, issuer, subject),
    CONSTRAINT identity_member FOREIGN KEY (site_id, uid) REFERENCES member ON DELETE CASCADE
);
COMMENT ON TABLE identity IS 'Who a member is elsewhere. One person of a provider is one member of a site.';
CREATE INDEX identity_by_member ON identity (site_id, uid);

CREATE TABLE sign_in_token (
    site_id    uuid NOT NULL REFERENCES site ON DELETE CASCADE,
    digest     bytea NOT NULL CONSTRAINT sign_in_token_digest_length CHECK (octet_length(digest) = 32),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (site_id, digest)
);
COMMENT ON TABLE sign_in_token IS 'Tokens that were used, until they end by themselves: none is taken twice.';
COMMENT ON COLUMN sign_in_token.digest IS 'SHA-256 of the signed part of the token.';
-- Those that have ended go.
CREATE INDEX sign_in_token_by_end ON sign_in_token (expires_at);

CREATE TABLE sign_in_code (
    site_id      uuid NOT NULL,
    code_hash    bytea NOT NULL CONSTRAINT sign_in_code_hash_length CHECK (octet_length(code_hash) = 32),
    invite_id    uuid NOT NULL,
    redirect_uri text NOT NULL,
    challenge    text NOT NULL,
    nonce        text,
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (site_id, code_hash),
    CONSTRAINT sign_in_code_invite FOREIGN KEY (site_id, invite_id) REFERENCES invite ON DELETE CASCADE
);
COMMENT ON TABLE sign_in_code IS 'Authorization codes of the built-in issuer, from the page to the token: minutes. Removed when used.';
COMMENT ON COLUMN sign_in_code.code_hash IS 'SHA-256 of the code, which the browser carries to the client.';
COMMENT ON COLUMN sign_in_code.challenge IS 'PKCE, S256: only who began the sign-in knows the text that this is the hash of.';
CREATE INDEX sign_in_code_by_invite ON sign_in_code (site_id, invite_id);
-- Those that were never used go.
CREATE INDEX sign_in_code_by_end ON sign_in_code (expires_at);

CREATE TABLE issuer_key (
    key_id      text PRIMARY KEY,
    private_key bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE issuer_key IS 'With what the built-in issuer signs: the newest one. Older ones are there until their last token has ended.';
COMMENT ON COLUMN issuer_key.private_key IS 'PKCS #8, P-256. As secret as the invites: a token is worth nothing without a usable invite in this database.';
-- The newest.
CREATE INDEX issuer_key_by_age ON issuer_key (created_at DESC);
