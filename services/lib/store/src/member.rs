//! Members, their nodes, names, and groups: what a batch of commands has to know.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row};
use tmtp_domain::{
    Group, GroupStatus, Member, MemberStatus, Membership, NameHolder, Node, NodeNum, SecretHash, SiteId, Uid,
};
use uuid::Uuid;

use crate::policy::member_flags;
use crate::{Error, Reader, Store, uid};

impl Store {
    /// These members with their nodes, those that exist. One statement for all.
    pub async fn members(&self, wanted: &[(SiteId, Uid)]) -> Result<Vec<(SiteId, Member)>, Error> {
        let sites: Vec<Uuid> = wanted.iter().map(|(site, _)| site.0).collect();
        let uids: Vec<&[u8]> = wanted.iter().map(|(_, uid)| uid.0.as_slice()).collect();
        let rows = sqlx::query(
            "SELECT m.site_id, m.uid, m.status, n.num, n.secret, n.revoked_at IS NOT NULL,
                    m.receive_only, m.away_text, (extract(epoch FROM m.away_until) * 1000)::bigint AS away_ms, m.away_delegate,
                    m.suspended_notice
             FROM unnest($1::uuid[], $2::bytea[]) AS w (site_id, uid)
             JOIN member m ON m.site_id = w.site_id AND m.uid = w.uid
             JOIN node n ON n.site_id = m.site_id AND n.uid = m.uid
             ORDER BY m.site_id, m.uid, n.num",
        )
        .bind(&sites)
        .bind(&uids)
        .fetch_all(&self.pool)
        .await?;

        let mut members: Vec<(SiteId, Member)> = Vec::with_capacity(wanted.len());
        for row in rows {
            let site = SiteId(row.try_get(0)?);
            let id = uid(row.try_get(1)?)?;
            let secret: &[u8] = row.try_get(4)?;
            let node = Node {
                num: NodeNum(row.try_get(3)?),
                secret: SecretHash(secret.try_into().map_err(|_| Error::Unreadable("node.secret".into()))?),
            };
            if members.last().is_none_or(|(last, member)| *last != site || member.uid != id) {
                let status = row.try_get::<&str, _>(2)?.parse::<MemberStatus>().map_err(Error::Unreadable)?;
                let flags = member_flags(&row)?;
                let notice = row.try_get("suspended_notice")?;
                let nodes = Vec::new();
                members.push((site, Member { uid: id, status, nodes, revoked: Vec::new(), flags, notice }));
            }
            let is_revoked: bool = row.try_get(5)?;
            match members.last_mut() {
                Some((_, member)) if is_revoked => member.revoked.push(node.num),
                Some((_, member)) => member.nodes.push(node),
                None => {}
            }
        }
        Ok(members)
    }

    /// Whose these names are, those that exist.
    pub async fn names(
        &self,
        wanted: &[(SiteId, String)],
    ) -> Result<HashMap<(SiteId, String), NameHolder>, Error> {
        names(&self.pool, wanted).await
    }

    /// The groups of these names, those that exist, with all their members. One statement for all.
    pub async fn groups(
        &self,
        wanted: &[(SiteId, String)],
    ) -> Result<HashMap<(SiteId, String), Group>, Error> {
        let (sites, names) = columns(wanted);
        let rows = sqlx::query(
            "SELECT g.site_id, g.gid, g.uid, g.status, g.alias
             FROM unnest($1::uuid[], $2::text[]) AS w (site_id, gid)
             JOIN group_member g ON g.site_id = w.site_id AND g.gid = w.gid",
        )
        .bind(&sites)
        .bind(&names)
        .fetch_all(&self.pool)
        .await?;
        let mut groups: HashMap<(SiteId, String), Group> = HashMap::new();
        for row in rows {
            let status = match row.try_get(3)? {
                "invited" => GroupStatus::Invited,
                "joined" => GroupStatus::Joined,
                "barred" => GroupStatus::Barred,
                _ => return Err(Error::Unreadable("group_member.status".into())),
            };
            let group = groups.entry((SiteId(row.try_get(0)?), row.try_get(1)?)).or_default();
            group.set(uid(row.try_get(2)?)?, Membership { status, alias: row.try_get(4)? });
        }
        // Most groups have none.
        for (place, rule) in self.group_rules(wanted).await? {
            groups.entry(place).or_default().set_rule(rule);
        }
        Ok(groups)
    }
}

impl Reader {
    /// Whose these names are, those that exist.
    pub async fn names(
        &mut self,
        wanted: &[(SiteId, String)],
    ) -> Result<HashMap<(SiteId, String), NameHolder>, Error> {
        names(&mut *self.tx, wanted).await
    }
}

async fn names(
    from: impl PgExecutor<'_>,
    wanted: &[(SiteId, String)],
) -> Result<HashMap<(SiteId, String), NameHolder>, Error> {
    let (sites, texts) = columns(wanted);
    let rows = sqlx::query(
        "SELECT n.site_id, n.name, n.uid, n.reserved_at IS NOT NULL
         FROM unnest($1::uuid[], $2::text[]) AS w (site_id, name)
         JOIN name n ON n.site_id = w.site_id AND n.name = w.name",
    )
    .bind(&sites)
    .bind(&texts)
    .fetch_all(from)
    .await?;
    let named = |row: &PgRow| {
        let holder = match row.try_get::<Option<&[u8]>, _>(2)? {
            Some(octets) => NameHolder::Member(uid(octets)?),
            None if row.try_get(3)? => NameHolder::Reserved,
            None => NameHolder::Group,
        };
        Ok(((SiteId(row.try_get(0)?), row.try_get(1)?), holder))
    };
    rows.iter().map(named).collect()
}

/// A member and an alias.
type Known = (SiteId, Uid, String);

impl Store {
    /// Which of these members some group knows by this alias.
    pub async fn known(&self, wanted: &[Known]) -> Result<HashSet<Known>, Error> {
        let sites: Vec<Uuid> = wanted.iter().map(|(site, ..)| site.0).collect();
        let uids: Vec<&[u8]> = wanted.iter().map(|(_, uid, _)| uid.0.as_slice()).collect();
        let aliases: Vec<&str> = wanted.iter().map(|(.., alias)| alias.as_str()).collect();
        let rows = sqlx::query(
            "SELECT DISTINCT g.site_id, g.uid, g.alias
             FROM unnest($1::uuid[], $2::bytea[], $3::text[]) AS w (site_id, uid, alias)
             JOIN group_member g ON g.site_id = w.site_id AND g.uid = w.uid AND g.alias = w.alias",
        )
        .bind(&sites)
        .bind(&uids)
        .bind(&aliases)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((SiteId(row.try_get(0)?), uid(row.try_get(1)?)?, row.try_get(2)?))).collect()
    }
}

fn columns(wanted: &[(SiteId, String)]) -> (Vec<Uuid>, Vec<&str>) {
    wanted.iter().map(|(site, name)| (site.0, name.as_str())).unzip()
}
