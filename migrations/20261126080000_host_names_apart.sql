-- A host name and the wildcard above it belong to one site: gateways prefer the exact name, so either would take clients
-- from the other. What was added before stays as it is.

-- Names under a wildcard are found by what follows their first label.
CREATE INDEX site_domain_by_parent ON site_domain (substr(domain, strpos(domain, '.')));

-- Whoever adds a wildcard waits for those who add names under it, and they for it; names do not wait for each other. Then
-- each sees what the other has committed, because every statement here reads anew.
CREATE FUNCTION site_domain_apart() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    parent text := substr(NEW.domain, strpos(NEW.domain, '.'));
    taken  boolean;
BEGIN
    IF NEW.domain LIKE '*.%' THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(parent, 7345104));
        taken := EXISTS (SELECT 1 FROM site_domain d
                         WHERE substr(d.domain, strpos(d.domain, '.')) = parent AND d.site_id <> NEW.site_id);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(parent, 7345104));
        taken := EXISTS (SELECT 1 FROM site_domain d
                         WHERE d.domain = '*' || parent AND d.site_id <> NEW.site_id);
    END IF;
    IF taken THEN
        RAISE EXCEPTION 'the host name % is covered by one of another site, or covers it', NEW.domain
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'site_domain_apart', TABLE = 'site_domain';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER site_domain_apart BEFORE INSERT OR UPDATE ON site_domain
    FOR EACH ROW EXECUTE FUNCTION site_domain_apart();
