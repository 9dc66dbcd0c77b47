//! Collects the fields of a request's header before it is known which operation they belong to.
//! It must never allocate: most fields of a header that a client sends by mistake, or twice, are not wanted.

use crate::{
    Error, Oidc, Recipient,
    json::{Scanner, Text},
};

/// Every field that a request may have, as it stands in the header. As in Go, the last of several fields of one name
/// counts, and `null` counts as no field (but takes back a list or an `oidc` given before).
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub op: Option<u8>,
    pub uid: Option<Text<'a>>,
    pub id: Option<Text<'a>>,
    pub gid: Option<Text<'a>>,
    pub node: Option<Text<'a>>,
    pub new_node: Option<Text<'a>>,
    pub new_alias: Option<Text<'a>>,
    pub from: Option<Text<'a>>,
    pub to: Option<Text<'a>>,
    pub act: Option<Text<'a>>,
    pub kind: Option<Text<'a>>,
    pub data: Lengths,
    pub note: Lengths,
    pub for_not_self: bool,
    pub recipients: List<'a>,
    pub note_recipients: List<'a>,
    pub oidc: Option<Tokens<'a>>,
    pub invite: Option<Text<'a>>,
}

/// `datalen` and so on, or `notelen` and so on.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    pub len: Option<i64>,
    pub head: Option<i64>,
    pub sum: Option<u64>,
}

/// A list of recipients that has been looked through but not kept.
#[derive(Debug, Default)]
pub(super) struct List<'a> {
    /// The text that begins with the list; `None` if there is no list.
    elements: Option<&'a [u8]>,
    count: usize,
    /// Some element has no id.
    pub nameless: bool,
    /// Some element has a kind other than 1, 2 and 3.
    pub odd_kind: bool,
}

#[derive(Debug, Default)]
pub(super) struct Tokens<'a> {
    token_type: Option<Text<'a>>,
    expires_in: Option<u64>,
    id_token: Option<Text<'a>>,
    access_token: Option<Text<'a>>,
    refresh_token: Option<Text<'a>>,
    scope: Option<Text<'a>>,
}

impl<'a> Fields<'a> {
    pub(super) fn scan(json: &'a [u8]) -> Result<Self, Error> {
        let mut fields = Self::default();
        Scanner::document(json, |scanner, name| match name.as_bytes() {
            b"op" => scanner.integer(&mut fields.op),
            b"uid" => scanner.text(&mut fields.uid),
            b"id" => scanner.text(&mut fields.id),
            b"gid" => scanner.text(&mut fields.gid),
            b"node" => scanner.text(&mut fields.node),
            b"newnode" => scanner.text(&mut fields.new_node),
            b"newalias" => scanner.text(&mut fields.new_alias),
            b"from" => scanner.text(&mut fields.from),
            b"to" => scanner.text(&mut fields.to),
            b"act" => scanner.text(&mut fields.act),
            b"type" => scanner.text(&mut fields.kind),
            b"datalen" => scanner.integer(&mut fields.data.len),
            b"datahead" => scanner.integer(&mut fields.data.head),
            b"datasum" => scanner.integer(&mut fields.data.sum),
            b"notelen" => scanner.integer(&mut fields.note.len),
            b"notehead" => scanner.integer(&mut fields.note.head),
            b"notesum" => scanner.integer(&mut fields.note.sum),
            b"fornotself" => scanner.boolean(&mut fields.for_not_self),
            b"for" => List::scan(scanner).map(|list| fields.recipients = list),
            b"notefor" => List::scan(scanner).map(|list| fields.note_recipients = list),
            b"invite" => scanner.text(&mut fields.invite),
            b"oidc" => Tokens::scan(scanner, &mut fields.oidc),
            _ => scanner.skip(),
        })?;
        Ok(fields)
    }
}

impl<'a> List<'a> {
    /// Looks through a list. A second list replaces the first; Go would mix their elements, which nobody can want.
    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, Error> {
        let start = scanner.rest();
        let mut list = Self::default();
        let present = scanner.array(|scanner| {
            let (id, kind) = element(scanner)?;
            list.count += 1;
            list.nameless |= id.is_none_or(Text::is_empty);
            list.odd_kind |= !matches!(kind, 1..=3);
            Ok(())
        })?;
        list.elements = present.then_some(start);
        Ok(list)
    }

    pub(super) fn is_present(&self) -> bool {
        self.elements.is_some()
    }

    /// Reads the list once more, this time to keep it. An absent list is empty.
    pub(super) fn collect(&self) -> Result<Vec<Recipient>, Error> {
        let mut recipients = Vec::with_capacity(self.count);
        if let Some(elements) = self.elements {
            Scanner::resume(elements).array(|scanner| {
                let (id, kind) = element(scanner)?;
                recipients.push(Recipient { id: owned(id), kind });
                Ok(())
            })?;
        }
        Ok(recipients)
    }
}

/// One element of a list; `null` is one without fields.
fn element<'a>(scanner: &mut Scanner<'a>) -> Result<(Option<Text<'a>>, i8), Error> {
    let (mut id, mut kind) = (None, None);
    scanner.object(|scanner, name| match name.as_bytes() {
        b"id" => scanner.text(&mut id),
        b"type" => scanner.integer(&mut kind),
        _ => scanner.skip(),
    })?;
    Ok((id, kind.unwrap_or(0)))
}

impl<'a> Tokens<'a> {
    /// A second object adds to the first, as in Go.
    fn scan(scanner: &mut Scanner<'a>, slot: &mut Option<Self>) -> Result<(), Error> {
        let mut tokens = slot.take().unwrap_or_default();
        let present = scanner.object(|scanner, name| match name.as_bytes() {
            b"token_type" => scanner.text(&mut tokens.token_type),
            b"expires_in" => scanner.integer(&mut tokens.expires_in),
            b"id_token" => scanner.text(&mut tokens.id_token),
            b"access_token" => scanner.text(&mut tokens.access_token),
            b"refresh_token" => scanner.text(&mut tokens.refresh_token),
            b"scope" => scanner.text(&mut tokens.scope),
            _ => scanner.skip(),
        })?;
        *slot = present.then_some(tokens);
        Ok(())
    }

    pub(super) fn collect(&self) -> Oidc {
        Oidc {
            token_type: owned(self.token_type),
            expires_in: self.expires_in.unwrap_or(0),
            id_token: owned(self.id_token),
            access_token: owned(self.access_token),
            refresh_token: owned(self.refresh_token),
            scope: owned(self.scope),
        }
    }
}

/// The text, empty if absent.
pub(super) fn owned(text: Option<Text<'_>>) -> String {
    text.map(|text| text.decode().into_owned()).unwrap_or_default()
}
