-- Who may register is part of the site's policy. The column site.registration stays, because gateways read it, and always
-- says what the policy says: whichever of the two is written, the other follows, so that processes of the release before,
-- which know only the column, are understood: a policy of theirs says nothing of registration, and changes nothing of it.

-- Like an index that is made: nobody writes sites meanwhile, and readers go on. Who waits for a row of ours holds no lock yet.
SET LOCAL lock_timeout = '10s';
LOCK TABLE site IN SHARE ROW EXCLUSIVE MODE;

CREATE FUNCTION site_registration_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NOT NEW.policy ? 'registration' AND NEW.registration <> 'closed' THEN
            NEW.policy := NEW.policy || jsonb_build_object('registration', NEW.registration);
        END IF;
    ELSIF NEW.registration <> OLD.registration
          AND NEW.policy->'registration' IS NOT DISTINCT FROM OLD.policy->'registration' THEN
        NEW.policy := NEW.policy || jsonb_build_object('registration', NEW.registration);
    ELSIF NEW.registration = OLD.registration AND NEW.registration <> 'closed' AND NOT NEW.policy ? 'registration' THEN
        -- Who means `closed` by leaving it out writes the column, too.
        NEW.policy := NEW.policy || jsonb_build_object('registration', NEW.registration);
    END IF;
    NEW.registration := coalesce(NEW.policy->>'registration', 'closed');
    RETURN NEW;
END $$;

-- What sites have had until now becomes part of their policies, of the earlier ones too: going back to one of them
-- changes nobody's registration.
UPDATE site SET policy = policy || jsonb_build_object('registration', registration) WHERE registration <> 'closed';
UPDATE site_policy_history h SET policy = h.policy || jsonb_build_object('registration', s.registration)
    FROM site s WHERE s.site_id = h.site_id AND s.registration <> 'closed';
INSERT INTO site_policy_history (site_id, version, policy, changed_at)
    SELECT site_id, 0, jsonb_build_object('registration', registration), created_at FROM site WHERE registration <> 'closed';
COMMENT ON COLUMN site_policy_history.version IS 'Counts the changes; 0: as the site was made, where that was not the default.';

CREATE TRIGGER site_registration_follows BEFORE INSERT OR UPDATE OF policy, registration ON site
    FOR EACH ROW EXECUTE FUNCTION site_registration_follows();
ALTER TABLE site ADD CONSTRAINT site_registration_is_the_policys
    CHECK (registration = coalesce(policy->>'registration', 'closed'));
COMMENT ON COLUMN site.registration IS 'Who may register: what policy says of it, closed when it says nothing.';
