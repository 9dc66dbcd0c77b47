//! Rules for posts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Attachment, PolicyRefusal};

/// Rules for posts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PostPolicy {
    /// Whether posts may have notes (PostNotify), by which clients forward messages.
    pub forwarding: bool,
    /// Most recipients of a post, those of the note included; a group counts as one. Null: as many as fit.
    #[schema(minimum = 1)]
    pub recipients_max: Option<u32>,
    /// Most octets of a post's data, all that is attached and the note included. Null: what the deployment takes.
    #[schema(minimum = 1)]
    pub octets_max: Option<u64>,
    /// Most posts of a member within a minute. Null: any number.
    #[schema(minimum = 1, maximum = 1000)]
    pub per_minute: Option<u32>,
    /// What becomes of a post whose JSON object at the front (its datahead) names as its sender, in `alias`, `cc[].by` or
    /// `cc[].byuid`, somebody else than the member who sends it. Clients believe these fields.
    pub sender_truth: SenderTruth,
    /// Most attachments of a post, by what its datahead says in `attach`; 0: none at all. Null: any number.
    #[schema(maximum = 1000)]
    pub attachments_max: Option<u32>,
    /// Most octets of an attachment, by what the datahead says; a post's real size is limited by `octets_max`. Null: any.
    #[schema(minimum = 1)]
    pub attachment_octets_max: Option<u64>,
    /// Endings of file names that attachments may have, in any case and without the dot. Empty: all, and none.
    #[schema(max_items = 1000)]
    pub attachment_types: Vec<String>,
    /// Members may post only to those who have written to them (a ping, an invitation or a post) since this is set, to
    /// those with whom they are in a group, and to groups.
    pub acquaintances: bool,
}

/// What becomes of a post that lies about its sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SenderTruth {
    /// Nobody looks.
    #[default]
    Off,
    /// It is refused; so is one whose datahead cannot be read, or has more than 65,536 octets.
    Refuse,
    /// What is false is replaced by the sender's uid and its oldest alias (by no alias when it has none), and the post
    /// is delivered so, with the lengths and the datasum that it has then. What cannot be corrected is refused: a
    /// datahead that cannot be read or would be too long, and data that is too large to travel inside of a command.
    Correct,
}

impl Default for PostPolicy {
    fn default() -> Self {
        Self {
            forwarding: true,
            recipients_max: None,
            octets_max: None,
            per_minute: None,
            sender_truth: SenderTruth::Off,
            attachments_max: None,
            attachment_octets_max: None,
            attachment_types: Vec::new(),
            acquaintances: false,
        }
    }
}

impl PostPolicy {
    /// Some rule is about attachments.
    pub fn limits_attachments(&self) -> bool {
        self.attachments_max.is_some()
            || self.attachment_octets_max.is_some()
            || !self.attachment_types.is_empty()
    }

    /// Whether a post may have these attachments. (Those that it repeats from another message count like any other.)
    pub fn check_attachments(&self, attachments: &[Attachment]) -> Result<(), PolicyRefusal> {
        if let Some(most) = self.attachments_max
            && u32::try_from(attachments.len()).map_or(true, |count| count > most)
        {
            return Err(PolicyRefusal::Attachments(most));
        }
        for attachment in attachments {
            if let Some(most) = self.attachment_octets_max
                && attachment.octets > most
            {
                return Err(PolicyRefusal::AttachmentOctets(most));
            }
            let ending = attachment.ending();
            let is_allowed = self
                .attachment_types
                .iter()
                .any(|allowed| ending.is_some_and(|ending| ending.to_lowercase() == allowed.to_lowercase()));
            if !self.attachment_types.is_empty() && !is_allowed {
                return Err(PolicyRefusal::AttachmentType(ending.unwrap_or("(none)").to_owned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each limit of attachments holds by itself, and exactly; method: attachments at and beyond each.
    #[test]
    fn attachments() {
        let attachment = |name: &str, octets| Attachment { name: name.to_owned(), octets };
        let policy = PostPolicy {
            attachments_max: Some(2),
            attachment_octets_max: Some(100),
            attachment_types: vec!["pdf".to_owned(), "JPG".to_owned()],
            ..PostPolicy::default()
        };
        assert!(policy.limits_attachments());
        assert!(!PostPolicy::default().limits_attachments());
        let (pdf, jpg) = (attachment("u:a.b.PDF", 100), attachment("u:c.jpg", 0));
        assert_eq!(policy.check_attachments(&[]), Ok(()));
        assert_eq!(policy.check_attachments(&[pdf.clone(), jpg.clone()]), Ok(()));
        assert_eq!(policy.check_attachments(&[pdf.clone(), jpg, pdf]), Err(PolicyRefusal::Attachments(2)));
        let one = |name, octets| policy.check_attachments(&[attachment(name, octets)]);
        assert_eq!(one("u:a.pdf", 101), Err(PolicyRefusal::AttachmentOctets(100)));
        assert_eq!(one("u:a.pdf.exe", 1), Err(PolicyRefusal::AttachmentType("exe".to_owned())));
        for name in ["u:pdf", "u:pdf.", "u:.pdf/a", ""] {
            assert_eq!(one(name, 1), Err(PolicyRefusal::AttachmentType("(none)".to_owned())), "{name}");
        }
        let none = PostPolicy { attachments_max: Some(0), ..PostPolicy::default() };
        assert_eq!(none.check_attachments(&[attachment("a", 0)]), Err(PolicyRefusal::Attachments(0)));
    }
}
