//! Reading spilled messages, in the order of delivery, a page at a time.

use sqlx::Row;
use tmtp_domain::{MsgId, NodeNum, SiteId, Uid};
use uuid::Uuid;

use crate::{Error, Store};

/// Asks for the next spilled messages of one node.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest {
    /// Where.
    pub site: SiteId,
    /// Whose.
    pub uid: Uid,
    /// Which node.
    pub node: NodeNum,
    /// Only what comes behind this place (urgency, id).
    pub after: (i16, MsgId),
    /// At most so many.
    pub limit: u32,
}

/// The answer to a [`PageRequest`]: fewer than its limit means that there are no more.
pub type Page = Vec<RowMessage>;

/// A spilled message.
#[derive(Debug, Clone)]
pub struct RowMessage {
    /// Its urgency: 0 overtakes, 1 waits its turn.
    pub urgency: i16,
    /// Its id.
    pub msg_id: MsgId,
    /// All but an inline body, encoded.
    pub header: Vec<u8>,
    /// The inline body, if it has one.
    pub body: Option<Vec<u8>>,
}

/// How many messages wait for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Spilled messages.
    pub messages: i64,
}

impl Store {
    /// Reads a page for each request, in the order of the requests. One statement for all.
    pub async fn pages(&self, requests: &[PageRequest]) -> Result<Vec<Page>, Error> {
        let numbers: Vec<i32> = (0..).take(requests.len()).collect();
        let sites: Vec<Uuid> = requests.iter().map(|request| request.site.0).collect();
        let uids: Vec<&[u8]> = requests.iter().map(|request| request.uid.0.as_slice()).collect();
        let nodes: Vec<i16> = requests.iter().map(|request| request.node.0).collect();
        let urgencies: Vec<i16> = requests.iter().map(|request| request.after.0).collect();
        let ids: Vec<i64> = requests.iter().map(|request| request.after.1.to_i64()).collect();
        let limits: Vec<i32> = requests.iter().map(|request| request.limit.cast_signed()).collect();
        let rows = sqlx::query(
            "SELECT r.number, p.urgency, p.msg_id, m.header, m.body
             FROM unnest($1::int4[], $2::uuid[], $3::bytea[], $4::int2[], $5::int2[], $6::int8[], $7::int4[])
                 AS r (number, site_id, uid, node, urgency, msg_id, most)
             CROSS JOIN LATERAL (
                 SELECT i.urgency, i.msg_id FROM inbox i
                 WHERE i.site_id = r.site_id AND i.uid = r.uid AND i.node = r.node
                   AND (i.urgency, i.msg_id) > (r.urgency, r.msg_id)
                 ORDER BY i.site_id, i.uid, i.node, i.urgency, i.msg_id
                 LIMIT r.most
             ) p
             JOIN message m ON m.site_id = r.site_id AND m.msg_id = p.msg_id
             ORDER BY r.number, p.urgency, p.msg_id",
        )
        .bind(&numbers)
        .bind(&sites)
        .bind(&uids)
        .bind(&nodes)
        .bind(&urgencies)
        .bind(&ids)
        .bind(&limits)
        .fetch_all(&self.pool)
        .await?;
        let mut pages: Vec<Page> = vec![Page::new(); requests.len()];
        for row in rows {
            let number = usize::try_from(row.try_get::<i32, _>(0)?).unwrap_or(usize::MAX);
            let page = pages.get_mut(number).ok_or_else(|| Error::Unreadable("page number".into()))?;
            page.push(RowMessage {
                urgency: row.try_get(1)?,
                msg_id: MsgId::from_i64(row.try_get(2)?),
                header: row.try_get(3)?,
                body: row.try_get(4)?,
            });
        }
        Ok(pages)
    }

    /// How many spilled messages wait for a node.
    pub async fn depth(&self, site: SiteId, uid: Uid, node: NodeNum) -> Result<Depth, Error> {
        let messages =
            sqlx::query_scalar("SELECT count(*) FROM inbox WHERE site_id = $1 AND uid = $2 AND node = $3")
                .bind(site.0)
                .bind(uid.0.as_slice())
                .bind(node.0)
                .fetch_one(&self.pool)
                .await?;
        Ok(Depth { messages })
    }
}
