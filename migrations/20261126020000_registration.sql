-- Who may register: also with an invite, with a sign-in, or after approval.

ALTER TABLE site
    DROP CONSTRAINT site_registration_known,
    ADD CONSTRAINT site_registration_known CHECK (registration IN ('open', 'closed', 'invite', 'oidc', 'approval'));
