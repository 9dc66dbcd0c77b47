//! Two sites with a row in every table that has a site, and what belongs to both or to none. Holds no expectation of its
//! own.

use sqlx::{AssertSqlSafe, PgPool};
use tmtp_domain::{InviteId, SiteId, Uid};
use uuid::Uuid;

pub const HERE: SiteId = SiteId(Uuid::from_u128(1));
pub const THERE: SiteId = SiteId(Uuid::from_u128(2));
pub const BOTH: [SiteId; 2] = [HERE, THERE];
/// Tables with rows of no site.
pub const OF_ALL: [&str; 2] = ["audit", "job"];

/// The same at both sites, as far as that is possible.
pub const UID: Uid = Uid([7; 20]);
pub const INVITE: InviteId = InviteId(Uuid::from_u128(3));
/// The job of the other site.
pub const JOB: Uuid = THERE.0;

/// The hash of the key of this number: 1 is for here, 2 for there, 3 for both, 4 for all.
pub fn hash(number: u8) -> [u8; 32] {
    [number; 32]
}

/// With words for what differs between the sites.
const OF_A_SITE: &str = r#"
    INSERT INTO site (site_id, shard_id, name, registration) VALUES ('SITE', 0, 'NAME', 'open');
    INSERT INTO site_domain VALUES ('SITE', 'NAME.example');
    INSERT INTO site_policy_history (site_id, version, policy) VALUES ('SITE', 1, '{}');
    INSERT INTO member (site_id, uid) VALUES ('SITE', UID);
    INSERT INTO node (site_id, uid, num, secret, label) VALUES ('SITE', UID, 1, HASH, 'first');
    INSERT INTO name (site_id, name, uid) VALUES ('SITE', 'NAME', UID), ('SITE', 'group', NULL);
    INSERT INTO name_look VALUES ('SITE', 'look', 'NAME');
    INSERT INTO group_member VALUES ('SITE', 'group', UID, 'joined', 'NAME');
    INSERT INTO group_rule (site_id, gid, mode) VALUES ('SITE', 'group', 'open');
    INSERT INTO acquaintance VALUES ('SITE', UID, UID);
    INSERT INTO message (site_id, msg_id, owed, header) VALUES ('SITE', 5, 1, 'header');
    INSERT INTO message_parked (site_id, msg_id, header, uids, nodes, urgencies, reason)
        VALUES ('SITE', 6, 'header', '{}', '{}', '{}', 'no reason');
    INSERT INTO inbox VALUES ('SITE', UID, 1, 1, 5);
    INSERT INTO body (site_id, body_id, len, chunk) VALUES ('SITE', 'SITE', 1, 1);
    INSERT INTO body_chunk (site_id, body_id, seq, octets) VALUES ('SITE', 'SITE', 0, 'x');
    INSERT INTO usage_day VALUES ('SITE', '2026-11-26', 1, 2);
    INSERT INTO trace_pack VALUES ('SITE', 7, 1, 5000, 1, 9, 'x');
    INSERT INTO trace_drop VALUES ('SITE', UID, 1, 9, 'quiet');
    INSERT INTO invite (site_id, invite_id, code_hash, groups, max_uses, pending)
        VALUES ('SITE', '00000000-0000-0000-0000-000000000003', HASH, '{group}', 2, 1);
    INSERT INTO invite_use (site_id, invite_id, uid, state)
        VALUES ('SITE', '00000000-0000-0000-0000-000000000003', UID, 'pending');
    INSERT INTO oidc_provider (site_id, provider_id, config) VALUES ('SITE', 'corp', '{"id": "corp", "label": "Corp",
        "issuer": "https://id.example", "authorize": {"url": "https://id.example/a"},
        "token": {"url": "https://id.example/t"}, "jwks_uri": "https://id.example/j",
        "audiences": ["1"]}');
    INSERT INTO identity (site_id, issuer, subject, uid) VALUES ('SITE', 'https://id.example', 'somebody', UID);
    INSERT INTO sign_in_token VALUES ('SITE', HASH, now() + interval '1 hour');
    INSERT INTO sign_in_code (site_id, code_hash, invite_id, redirect_uri, challenge, expires_at)
        VALUES ('SITE', HASH, '00000000-0000-0000-0000-000000000003', 'http://localhost', 'c', now());
    INSERT INTO site_certificate (site_id, certificate_id, source, names, issuer, chain, sealed_key, not_before, not_after)
        VALUES ('SITE', 'SITE', 'upload', '{NAME.example}', 'CN=Test', '{x}', 'sealed', now(), now());
    INSERT INTO acme_domain (site_id, domain) VALUES ('SITE', 'NAME.example');
    INSERT INTO job (job_id, site_id, kind, input, sealed) VALUES ('SITE', 'SITE', 'test', '{}', 'sealed');
    INSERT INTO audit (site_id, action, target, from_address, request_id) VALUES ('SITE', 'test', 'NAME', 'x', 'SITE');
    INSERT INTO api_key (key_id, hash, name, role, site_ids) VALUES ('SITE', HASH, 'NAME', 'owner', '{SITE}');
    INSERT INTO idempotency (key_id, idempotency_key, request, status, answer) VALUES ('SITE', 'once', HASH, 201, 'sealed');
"#;

const OF_SEVERAL: &str = "
    INSERT INTO api_key (key_id, hash, name, role, site_ids) VALUES
        ('00000000-0000-0000-0000-000000000003', decode(repeat('03', 32), 'hex'), 'both', 'owner',
         '{00000000-0000-0000-0000-000000000001, 00000000-0000-0000-0000-000000000002}'),
        ('00000000-0000-0000-0000-000000000004', decode(repeat('04', 32), 'hex'), 'all', 'operator', NULL);
    INSERT INTO job (job_id, kind, input) VALUES ('00000000-0000-0000-0000-000000000009', 'test', '{}');
    INSERT INTO audit (action, target, from_address, request_id)
        VALUES ('test', 'x', 'x', '00000000-0000-0000-0000-000000000009');
    INSERT INTO worker VALUES ('00000000-0000-0000-0000-000000000009', now());
";

pub async fn fill(pool: &PgPool) {
    for (site, name, number) in [(HERE, "here", 1), (THERE, "there", 2)] {
        let statements = OF_A_SITE
            .replace("SITE", &site.0.to_string())
            .replace("NAME", name)
            .replace("HASH", &format!("decode(repeat('0{number}', 32), 'hex')"))
            .replace("UID", "decode(repeat('07', 20), 'hex')");
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(pool).await.unwrap();
    }
    sqlx::raw_sql(OF_SEVERAL).execute(pool).await.unwrap();
}
