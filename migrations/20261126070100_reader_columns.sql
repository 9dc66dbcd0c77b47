-- no-transaction
-- What the admin API may read, by table and column. No hashes, no sealed or private keys, no content, no input of jobs
-- (which has hashes of codes). One table at a time, each in a transaction of its own, because workers use them in any
-- order: nobody waits for two of them. Doing it twice is harmless.
DO $$
DECLARE
    target text;
    columns text[];
BEGIN
    -- A transaction that is long under way must not make everybody else wait behind us: then it fails, and is tried again.
    PERFORM set_config('lock_timeout', '10s', false);

    -- Tables that were opened before, as far as they are not in the list.
    FOR target IN
        SELECT polrelid::regclass::text FROM pg_policy WHERE polname = 'reader_sees_its_sites' ORDER BY 1
    LOOP
        IF target <> 'api_key' THEN
            EXECUTE format('ALTER POLICY reader_sees_its_sites ON %s
                USING ((SELECT reader_sees_all()) OR site_id = ANY ((SELECT reader_sites())::uuid[]))', target);
            COMMIT;
        END IF;
    END LOOP;

    FOR target, columns IN
        VALUES
            ('acme_domain', '{site_id, domain, state, attempts, last_error, next_at, changed_at}'::text[]),
            ('audit', '{audit_id, at, site_id, key_id, action, target, from_address, request_id, before, after}'),
            ('group_member', '{site_id, gid, uid, status, alias}'),
            ('group_rule', '{site_id, gid, mode, posters}'),
            -- How many a member has; not which.
            ('identity', '{site_id, uid}'),
            ('inbox', '{site_id, uid, node, msg_id}'),
            ('invite', '{site_id, invite_id, alias, external_id, groups, role, note, max_uses, pending, completed,
                         requires_approval, expires_at, revoked_at, created_by, created_at}'),
            ('invite_use', '{site_id, invite_id, uid, state, at}'),
            ('job', '{job_id, site_id, kind, state, cancelling, done, total, result, error, created_by, created_at,
                      started_at, finished_at}'),
            ('member', '{site_id, uid, status, created_at, external_id, suspended_reason, suspended_at,
                         suspended_until, receive_only, away_text, away_until, away_delegate}'),
            ('message', '{site_id, msg_id, owed, queued_at}'),
            ('name', '{site_id, name, uid, created_at, reserved_at}'),
            ('name_look', '{site_id, look, name}'),
            ('node', '{site_id, uid, num, label, created_at, revoked_at, last_seen_at}'),
            -- Clients are told all of it.
            ('oidc_provider', '{site_id, provider_id, config, created_at, changed_at}'),
            ('site', '{site_id, shard_id, revision, name, registration, status, created_at, kind, suspended_reason,
                       suspended_notice, suspended_at, deleted_at, expires_at, changed_at, policy, policy_version}'),
            ('site_certificate', '{site_id, certificate_id, source, names, issuer, not_before, not_after, created_at,
                                   removed_at}'),
            ('site_domain', '{site_id, domain}'),
            ('site_policy_history', '{site_id, version, policy, changed_at, key_id}'),
            ('usage_day', '{site_id, day, messages, octets}')
    LOOP
        CALL open_to_reader(target::regclass, columns);
        COMMIT;
    END LOOP;

    -- A key for several sites is seen by who sees all of them; one that names none, by who sees all there are.
    DROP POLICY IF EXISTS reader_sees_its_sites ON api_key;
    CREATE POLICY reader_sees_its_sites ON api_key FOR SELECT TO postern_reader
        USING ((SELECT reader_sees_all())
               OR cardinality(site_ids) > 0 AND site_ids <@ (SELECT reader_sites())::uuid[]);
    COMMIT;

    -- The cluster is of no site: it is seen by whoever sees anything, and the API's scopes say who asks.
    FOR target, columns IN
        VALUES ('shard', '{shard_id, owner, epoch, commits}'::text[]), ('worker', '{worker_id, lease_until}')
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', target);
        EXECUTE format('DROP POLICY IF EXISTS reader_sees_the_cluster ON %I', target);
        EXECUTE format('CREATE POLICY reader_sees_the_cluster ON %I FOR SELECT TO postern_reader
                        USING ((SELECT reader_sees_all() OR cardinality(reader_sites()) > 0))', target);
        EXECUTE format('GRANT SELECT (%s) ON %I TO postern_reader', array_to_string(columns, ', '), target);
        COMMIT;
    END LOOP;

    -- The API reads nothing of it.
    DROP POLICY IF EXISTS reader_sees_its_sites ON body;
    REVOKE SELECT ON body FROM postern_reader;
    PERFORM set_config('lock_timeout', '0', false);
END $$;
