-- Who may register: with an invite, with a sign-in, or after approval; and members who wait for it.

ALTER TABLE site
    DROP CONSTRAINT site_registration_known,
    ADD CONSTRAINT site_registration_known CHECK (registration IN ('open', 'closed', 'invite', 'oidc', 'approval'));

ALTER TABLE member
    DROP CONSTRAINT member_status_known,
    ADD CONSTRAINT member_status_known CHECK (status IN ('active', 'pending', 'suspended', 'deactivated'));
