-- Row-level security for what the admin API reads of a site: even a statement that forgets its WHERE sees one site only.
--
-- The role `postern_reader` owns nothing and logs in nowhere; a transaction of the API becomes it, and names its sites
-- in the setting `postern.sites`. Owners of tables, such as workers, are not affected.

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'postern_reader') THEN
        BEGIN
            CREATE ROLE postern_reader NOLOGIN;
        EXCEPTION
            -- Roles belong to the whole server: another database of it was faster.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the user % may not create roles; let an administrator of the server run: CREATE ROLE postern_reader NOLOGIN; GRANT postern_reader TO %; then migrate again',
                    current_user, quote_ident(current_user);
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'postern_reader', 'MEMBER') THEN
        BEGIN
            EXECUTE format('GRANT postern_reader TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'the user % may not become postern_reader; let an administrator of the server run: GRANT postern_reader TO %; then migrate again',
                current_user, quote_ident(current_user);
        END;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO postern_reader', current_schema());
END $$;

-- The sites of this transaction; none without the setting, which is empty after a transaction that had it.
CREATE FUNCTION reader_sites() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT string_to_array(current_setting('postern.sites', true), ',')::uuid[]
$$;
COMMENT ON FUNCTION reader_sites IS 'What postern_reader may see in this transaction.';

-- For this migration and later ones: opens a table with a site_id to postern_reader, row by row. Without columns it may
-- see all of them.
CREATE PROCEDURE open_to_reader(target regclass, columns text[] DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    listed text := (SELECT '(' || string_agg(quote_ident(c), ', ') || ')' FROM unnest(columns) AS c);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY reader_sees_its_sites ON %s FOR SELECT TO postern_reader USING (site_id = ANY (reader_sites()))',
        target);
    EXECUTE format('GRANT SELECT %s ON %s TO postern_reader', coalesce(listed, ''), target);
END $$;

CALL open_to_reader('site');
CALL open_to_reader('site_domain');
CALL open_to_reader('member');
CALL open_to_reader('node', '{site_id, uid, num, label, created_at}');
CALL open_to_reader('name');
CALL open_to_reader('group_member');
-- Never content.
CALL open_to_reader('message', '{site_id, msg_id, owed, body_id, queued_at}');
CALL open_to_reader('inbox');
CALL open_to_reader('body');
CALL open_to_reader('audit');
CALL open_to_reader('job');

ALTER TABLE api_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY reader_sees_its_sites ON api_key FOR SELECT TO postern_reader USING (site_ids <@ reader_sites());
GRANT SELECT (key_id, name, role, scopes, site_ids, created_by, created_at, expires_at, last_used_at, revoked_at)
    ON api_key TO postern_reader;
