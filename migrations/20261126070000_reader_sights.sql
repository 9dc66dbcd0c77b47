-- The role postern_reader, which reads for the admin API, may also see all sites; and it gets column by column what it
-- may see. The tables follow in the next file.

-- 'all' stands for all sites, for an operator's read. Only that word does: without the setting, and with an empty one,
-- nothing is seen, and a list of ids never contains it.
CREATE OR REPLACE FUNCTION reader_sites() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT string_to_array(nullif(current_setting('postern.sites', true), 'all'), ',')::uuid[]
$$;
COMMENT ON FUNCTION reader_sites IS 'The sites that postern_reader may see in this transaction; null with all of them, or without the setting.';

CREATE FUNCTION reader_sees_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(current_setting('postern.sites', true) = 'all', false)
$$;
COMMENT ON FUNCTION reader_sees_all IS 'Whether postern_reader may see all sites in this transaction, and what concerns none.';

-- For this migration and later ones: opens columns of a table with a site_id to postern_reader, row by row; without
-- columns all of them, those that are added later included. Opening a table again closes what was open before.
CREATE OR REPLACE PROCEDURE open_to_reader(target regclass, columns text[] DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    listed text := (SELECT '(' || string_agg(quote_ident(c), ', ') || ')' FROM unnest(columns) AS c);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('DROP POLICY IF EXISTS reader_sees_its_sites ON %s', target);
    -- Each SELECT is carried out once for a statement, not once for a row. A null site concerns the deployment.
    EXECUTE format('CREATE POLICY reader_sees_its_sites ON %s FOR SELECT TO postern_reader
                    USING ((SELECT reader_sees_all()) OR site_id = ANY ((SELECT reader_sites())::uuid[]))', target);
    EXECUTE format('REVOKE SELECT ON %s FROM postern_reader', target);
    EXECUTE format('GRANT SELECT %s ON %s TO postern_reader', coalesce(listed, ''), target);
END $$;
