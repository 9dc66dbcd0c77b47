//! Dataheads: what a post says of its sender and of its attachments, and how it is corrected.

use bytes::Bytes;
use tmtp_contract::{Body, Command, DataInfo};
use tmtp_domain::policy::{
    Attachment, Claims, FRONT_MAX, Own, PostPolicy, SenderTruth, attachments, claims, corrected,
};
use tmtp_domain::{NameHolder, PolicyRefusal, SiteId, Uid, parse_uid};

use super::super::World;

/// Data of a post, as far as its datahead goes.
pub(super) struct Part<'c> {
    pub(super) info: &'c DataInfo,
    body: &'c Body,
    front: Option<&'c Bytes>,
}

impl Part<'_> {
    /// The datahead: empty when there is none, `None` when nobody can tell what it says.
    fn head(&self) -> Option<&[u8]> {
        if self.info.head == 0 {
            return Some(&[]);
        }
        let head = usize::try_from(self.info.head).ok().filter(|_| self.info.head <= FRONT_MAX)?;
        match self.body {
            Body::Inline(octets) => octets.get(..head),
            Body::Stored(_) => self.front.map(|front| &front[..]).filter(|front| front.len() == head),
            Body::Empty => None,
        }
    }

    /// What the datahead says of the sender; `None` when nobody can tell.
    pub(super) fn claims(&self) -> Option<Claims> {
        self.head().and_then(|head| if head.is_empty() { Some(Claims::default()) } else { claims(head) })
    }

    /// What it says of attachments; `None` when nobody can tell.
    fn attachments(&self) -> Option<Vec<Attachment>> {
        self.head().and_then(|head| if head.is_empty() { Some(Vec::new()) } else { attachments(head) })
    }
}

/// The data of a post.
pub(super) fn parts(command: &Command) -> Vec<Part<'_>> {
    match command {
        Command::Post { data, body, front, .. } => vec![Part { info: data, body, front: front.as_ref() }],
        Command::PostNotify { data, body, front, note, note_body, note_front, .. } => vec![
            Part { info: data, body, front: front.as_ref() },
            Part { info: note, body: note_body, front: note_front.as_ref() },
        ],
        _ => Vec::new(),
    }
}

/// What a part says falsely of its sender, if anything.
fn lie(site: SiteId, sender: Uid, part: &Part<'_>, world: &World<'_>) -> Result<(), PolicyRefusal> {
    let claims = part.claims().ok_or(PolicyRefusal::SenderUnreadable)?;
    // An empty name is nobody's.
    let is_foreign =
        |alias: &String| !alias.is_empty() && world.holder(site, alias) != Some(NameHolder::Member(sender));
    if let Some(alias) = claims.aliases.into_iter().find(is_foreign) {
        return Err(PolicyRefusal::SenderAlias(alias));
    }
    let is_foreign = |uid: &String| !uid.is_empty() && parse_uid(uid) != Ok(sender);
    match claims.uids.into_iter().find(is_foreign) {
        Some(uid) => Err(PolicyRefusal::SenderUid(uid)),
        None => Ok(()),
    }
}

/// Whether a post is from whom it says, or can be made so, if the policy asks for that.
pub(super) fn check_truth(
    site: SiteId,
    sender: Uid,
    truth: SenderTruth,
    command: &Command,
    world: &World<'_>,
) -> Result<(), PolicyRefusal> {
    for part in parts(command).iter().filter(|_| truth != SenderTruth::Off) {
        match lie(site, sender, part, world) {
            Ok(()) => {}
            Err(PolicyRefusal::SenderUnreadable) => return Err(PolicyRefusal::SenderUnreadable),
            Err(_) if truth == SenderTruth::Correct && matches!(part.body, Body::Inline(_)) => {
                truthful(site, sender, part.info, part.body, world).ok_or(PolicyRefusal::SenderUnreadable)?;
            }
            Err(lie) => return Err(lie),
        }
    }
    Ok(())
}

/// Whether a post may have the attachments that it says it has.
pub(super) fn check_attachments(policy: &PostPolicy, command: &Command) -> Result<(), PolicyRefusal> {
    if !policy.limits_attachments() {
        return Ok(());
    }
    let mut all = Vec::new();
    for part in parts(command) {
        all.extend(part.attachments().ok_or(PolicyRefusal::SenderUnreadable)?);
    }
    policy.check_attachments(&all)
}

/// Puts the truth about its sender into a post that may be corrected.
pub(super) fn correct(site: SiteId, sender: Uid, command: &mut Command, world: &World<'_>) {
    let fixed: Vec<Option<(DataInfo, Body)>> = parts(command)
        .iter()
        .map(|part| match lie(site, sender, part, world) {
            Ok(()) => None,
            Err(_) => truthful(site, sender, part.info, part.body, world),
        })
        .collect();
    let mut fixed = fixed.into_iter();
    let mut next = |info: &mut DataInfo, body: &mut Body| {
        if let Some(true_one) = fixed.next().flatten() {
            (*info, *body) = true_one;
        }
    };
    match command {
        Command::Post { data, body, .. } => next(data, body),
        Command::PostNotify { data, body, note, note_body, .. } => {
            next(data, body);
            next(note, note_body);
        }
        _ => {}
    }
}

/// Data that came along, with a datahead that is true of the sender. A checksum that it had is the new data's then.
fn truthful(
    site: SiteId,
    sender: Uid,
    info: &DataInfo,
    body: &Body,
    world: &World<'_>,
) -> Option<(DataInfo, Body)> {
    let Body::Inline(octets) = body else { return None };
    let (head, rest) = octets.split_at_checked(usize::try_from(info.head).ok()?)?;
    let alias = world.facts.aliases.get(&(site, sender)).map_or("", String::as_str);
    let is_own = |alias: &str| world.holder(site, alias) == Some(NameHolder::Member(sender));
    let head = corrected(head, Own { alias, uid: &sender.to_string() }, is_own)?;
    let octets = Bytes::from([&head[..], rest].concat());
    let sum = if info.sum == 0 { 0 } else { u64::from(crc32c::crc32c(&octets)) };
    let len = u64::try_from(octets.len()).ok()?;
    Some((DataInfo { len, head: u64::try_from(head.len()).ok()?, sum }, Body::Inline(octets)))
}
