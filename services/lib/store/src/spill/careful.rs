//! The spill of a shard of which the database does not take everything: part by part, each under a savepoint, so that
//! one that is refused takes no other with it. Slow, and only ever needed after a bug or a foreign hand. Must never leave
//! a message out without keeping it elsewhere.

use std::collections::HashMap;

use sqlx::{Connection, PgConnection};
use tmtp_domain::{MsgId, ShardId, SiteId};

use super::{
    InboxRow, MessageRow, Part, Refused, RowAck, Spill, Spilled, apply_acks, write_inbox, write_messages,
    write_receipts,
};
use crate::Error;
use crate::trace::write_traces;

/// Writes what the database takes of a spill.
pub(super) async fn write(
    shard: ShardId,
    commits: i64,
    spill: &Spill,
    db: &mut PgConnection,
) -> Result<Spilled, Error> {
    let mut spilled = Spilled::default();
    messages(spill, &mut spilled, db).await?;
    acks(&spill.acks, &mut spilled, db).await?;
    for part in [Part::Receipts, Part::Traces] {
        let mut attempt = db.begin().await?;
        let written = match part {
            Part::Traces => write_traces(&spill.traces, commits, &mut attempt).await,
            _ => write_receipts(shard, commits, spill, &mut attempt).await,
        };
        match written {
            Ok(()) => attempt.commit().await?,
            Err(error) => {
                attempt.rollback().await?;
                spilled.refused.push(Refused { part, error: about_data(error)? });
            }
        }
    }
    Ok(spilled)
}

async fn messages(spill: &Spill, spilled: &mut Spilled, db: &mut PgConnection) -> Result<(), Error> {
    let mut places: HashMap<(SiteId, MsgId), Vec<InboxRow>> = HashMap::new();
    for place in &spill.inbox {
        places.entry((place.site, place.msg_id)).or_default().push(*place);
    }
    let mut pieces: Vec<&[MessageRow]> = vec![&spill.messages];
    while let Some(piece) = pieces.pop() {
        let owed = piece.iter().filter_map(|row| places.get(&(row.site, row.msg_id)));
        let owed: Vec<InboxRow> = owed.flatten().copied().collect();
        let mut attempt = db.begin().await?;
        let written = async {
            write_messages(piece, &mut attempt).await?;
            write_inbox(&owed, &mut attempt).await
        };
        let Err(error) = written.await else {
            attempt.commit().await?;
            continue;
        };
        attempt.rollback().await?;
        let error = about_data(error)?;
        if let [message] = piece {
            park(message, &owed, &error, db).await?;
            spilled.refused.push(Refused { part: Part::Message(message.site, message.msg_id), error });
        } else {
            let (first, second) = piece.split_at(piece.len() / 2);
            pieces.extend([second, first]);
        }
    }
    Ok(())
}

async fn acks(acks: &[RowAck], spilled: &mut Spilled, db: &mut PgConnection) -> Result<(), Error> {
    let mut pieces: Vec<&[RowAck]> = vec![acks];
    while let Some(piece) = pieces.pop() {
        let mut attempt = db.begin().await?;
        match apply_acks(piece, &mut attempt).await {
            Ok(free) => {
                attempt.commit().await?;
                spilled.free.extend(free);
            }
            Err(error) => {
                attempt.rollback().await?;
                let error = about_data(error)?;
                if let [ack] = piece {
                    spilled.refused.push(Refused { part: Part::Ack(ack.site, ack.msg_id), error });
                } else {
                    let (first, second) = piece.split_at(piece.len() / 2);
                    pieces.extend([second, first]);
                }
            }
        }
    }
    Ok(())
}

/// Keeps a message whose rows are refused, for a human.
async fn park(
    message: &MessageRow,
    owed: &[InboxRow],
    reason: &Error,
    db: &mut PgConnection,
) -> Result<(), Error> {
    let uids: Vec<&[u8]> = owed.iter().map(|place| place.uid.0.as_slice()).collect();
    let nodes: Vec<i16> = owed.iter().map(|place| place.node.0).collect();
    let urgencies: Vec<i16> = owed.iter().map(|place| place.urgency).collect();
    let reason = match reason {
        Error::Refused(cause) => cause.to_string(),
        other => other.to_string(),
    };
    sqlx::query(
        "INSERT INTO message_parked (site_id, msg_id, header, body, body_id, uids, nodes, urgencies, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
    )
    .bind(message.site.0)
    .bind(message.msg_id.to_i64())
    .bind(&message.header)
    .bind(message.body.as_deref())
    .bind(message.body_id.map(|id| id.0))
    .bind(&uids)
    .bind(&nodes)
    .bind(&urgencies)
    .bind(reason)
    .execute(&mut *db)
    .await?;
    Ok(())
}

/// Any other error concerns all parts alike.
fn about_data(error: Error) -> Result<Error, Error> {
    if error.is_about_data() { Ok(error) } else { Err(error) }
}
