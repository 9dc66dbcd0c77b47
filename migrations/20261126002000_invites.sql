-- Invites: who may join a site, and who did with which.

CREATE TABLE invite (
    site_id           uuid NOT NULL REFERENCES site ON DELETE CASCADE,
    invite_id         uuid NOT NULL,
    code_hash         bytea NOT NULL CONSTRAINT invite_code_hash_length CHECK (octet_length(code_hash) = 32),
    alias             text,
    external_id       text,
    groups            text[] NOT NULL DEFAULT '{}',
    role              text,
    note              text,
    max_uses          integer NOT NULL DEFAULT 1 CONSTRAINT invite_max_uses_positive CHECK (max_uses > 0),
    pending           integer NOT NULL DEFAULT 0 CONSTRAINT invite_pending_counts CHECK (pending >= 0),
    completed         integer NOT NULL DEFAULT 0 CONSTRAINT invite_completed_counts CHECK (completed >= 0),
    requires_approval boolean NOT NULL DEFAULT false,
    expires_at        timestamptz,
    revoked_at        timestamptz,
    created_by        uuid,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, invite_id),
    CONSTRAINT invite_code_unique UNIQUE (site_id, code_hash),
    CONSTRAINT invite_not_overused CHECK (pending + completed <= max_uses),
    CONSTRAINT invite_alias_is_for_one CHECK (alias IS NULL OR max_uses = 1)
);
COMMENT ON COLUMN invite.code_hash IS 'SHA-256 of site and code; the code is told once and not kept.';
COMMENT ON COLUMN invite.alias IS 'The alias that whoever joins gets, whatever they ask for.';
COMMENT ON COLUMN invite.external_id IS 'Who it is for, in the words of the inviting organisation''s own system.';
COMMENT ON COLUMN invite.groups IS 'The groups that whoever joins becomes a member of.';
COMMENT ON COLUMN invite.note IS 'For the site''s admins only.';
COMMENT ON COLUMN invite.pending IS 'How many have joined with it and wait for approval: they count as uses.';
COMMENT ON COLUMN invite.completed IS 'How many have joined with it.';
COMMENT ON COLUMN invite.created_by IS 'The API key with which it was made; null for tmtpctl.';
-- Lists show the newest first.
CREATE UNIQUE INDEX invite_by_age ON invite (site_id, created_at DESC, invite_id DESC);

CREATE TABLE invite_use (
    site_id   uuid NOT NULL,
    invite_id uuid NOT NULL,
    uid       bytea NOT NULL,
    state     text NOT NULL CONSTRAINT invite_use_state_known CHECK (state IN ('pending', 'completed', 'denied')),
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, invite_id, uid),
    CONSTRAINT invite_use_invite FOREIGN KEY (site_id, invite_id) REFERENCES invite ON DELETE CASCADE,
    CONSTRAINT invite_use_member FOREIGN KEY (site_id, uid) REFERENCES member ON DELETE CASCADE
);
COMMENT ON TABLE invite_use IS 'Who joined with an invite; written with the registration.';
COMMENT ON COLUMN invite_use.state IS 'pending: waits for approval; denied: was not approved, and the use was given back.';
-- With which invite a member came.
CREATE INDEX invite_use_by_member ON invite_use (site_id, uid);
