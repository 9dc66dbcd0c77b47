//! Reading spilled messages, in the order of delivery, a page at a time.

use sqlx::Row;
use sqlx::postgres::PgRow;
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
    /// The page ends with the message that reaches so many octets; the first always fits.
    pub octets: u64,
}

/// The answer to a [`PageRequest`].
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// In the order of delivery.
    pub messages: Vec<RowMessage>,
    /// The last place (urgency, id) that this page covers; `None` when there was nothing.
    pub last: Option<(i16, MsgId)>,
    /// True when nothing waits behind the page.
    pub is_end: bool,
}

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

/// `found` counts the places of a page before its octets end it, and `octets` what stands before each of them. (The
/// length of a body is known without reading it.) A place without its message, which no statement of ours leaves
/// behind, still counts as read, so that what comes behind it is.
const PAGES: &str = "
    SELECT f.number, f.urgency, f.msg_id, f.header, f.body, f.found, f.limited
    FROM (
        SELECT r.number, p.urgency, p.msg_id, m.header, m.body, r.octets AS budget, r.most AS limited,
               count(*) OVER (PARTITION BY r.number) AS found,
               coalesce(sum(coalesce(octet_length(m.header), 0) + coalesce(octet_length(m.body), 0)) OVER (
                   PARTITION BY r.number ORDER BY p.urgency, p.msg_id
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS octets
        FROM unnest($1::int4[], $2::uuid[], $3::bytea[], $4::int2[], $5::int2[], $6::int8[], $7::int4[], $8::int8[])
            AS r (number, site_id, uid, node, urgency, msg_id, most, octets)
        CROSS JOIN LATERAL (
            SELECT i.urgency, i.msg_id FROM inbox i
            WHERE i.site_id = r.site_id AND i.uid = r.uid AND i.node = r.node
              AND (i.urgency, i.msg_id) > (r.urgency, r.msg_id)
            ORDER BY i.site_id, i.uid, i.node, i.urgency, i.msg_id
            LIMIT r.most
        ) p
        LEFT JOIN message m ON m.site_id = r.site_id AND m.msg_id = p.msg_id
    ) f
    WHERE f.octets < f.budget
    ORDER BY f.number, f.urgency, f.msg_id";

impl Store {
    /// Reads a page for each request, in the order of the requests. One statement for all; the caller bounds what
    /// comes back by the number of requests and what each allows.
    pub async fn pages(&self, requests: &[PageRequest]) -> Result<Vec<Page>, Error> {
        let numbers: Vec<i32> = (0..).take(requests.len()).collect();
        let sites: Vec<Uuid> = requests.iter().map(|request| request.site.0).collect();
        let uids: Vec<&[u8]> = requests.iter().map(|request| request.uid.0.as_slice()).collect();
        let nodes: Vec<i16> = requests.iter().map(|request| request.node.0).collect();
        let urgencies: Vec<i16> = requests.iter().map(|request| request.after.0).collect();
        let ids: Vec<i64> = requests.iter().map(|request| request.after.1.to_i64()).collect();
        let limits: Vec<i32> = requests.iter().map(|request| request.limit.cast_signed()).collect();
        let budget = |request: &PageRequest| i64::try_from(request.octets.max(1)).unwrap_or(i64::MAX);
        let budgets: Vec<i64> = requests.iter().map(budget).collect();
        let rows = sqlx::query(PAGES)
            .bind(&numbers)
            .bind(&sites)
            .bind(&uids)
            .bind(&nodes)
            .bind(&urgencies)
            .bind(&ids)
            .bind(&limits)
            .bind(&budgets)
            .fetch_all(&self.pool)
            .await?;
        let mut pages = vec![(Page { is_end: true, ..Page::default() }, 0); requests.len()];
        for row in rows {
            let number = usize::try_from(row.try_get::<i32, _>(0)?).unwrap_or(usize::MAX);
            let (page, read) =
                pages.get_mut(number).ok_or_else(|| Error::Unreadable("page number".into()))?;
            *read += 1;
            let (found, limit): (i64, i32) = (row.try_get(5)?, row.try_get(6)?);
            page.is_end = found < i64::from(limit) && *read == found;
            let place = (row.try_get(1)?, MsgId::from_i64(row.try_get(2)?));
            page.last = Some(place);
            page.messages.extend(message(&row, place)?);
        }
        Ok(pages.into_iter().map(|(page, _)| page).collect())
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

fn message(row: &PgRow, (urgency, msg_id): (i16, MsgId)) -> Result<Option<RowMessage>, Error> {
    let header: Option<Vec<u8>> = row.try_get(3)?;
    let body = row.try_get(4)?;
    Ok(header.map(|header| RowMessage { urgency, msg_id, header, body }))
}
