//! What has to hold for every frame, whatever the case: spelling, fields, formats, sums, order. Links show it each frame;
//! at the end each rule has a line. It must never stop a case: one habit of a server should not hide all others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use super::frame::{Frame, headsum, spelled};

/// A rule for frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    Digits,
    Spelling,
    HeadsumCut,
    HeadsumAgain,
    MessageIds,
    Posted,
    Uids,
    Fields,
    FromAndId,
    InfoFirst,
    Again,
    SenderOrder,
}

impl Rule {
    pub(super) const ALL: [Self; 12] = [
        Self::Digits,
        Self::Spelling,
        Self::HeadsumCut,
        Self::HeadsumAgain,
        Self::MessageIds,
        Self::Posted,
        Self::Uids,
        Self::Fields,
        Self::FromAndId,
        Self::InfoFirst,
        Self::Again,
        Self::SenderOrder,
    ];

    /// The section of PROTOCOL.md that it is from, and what it says.
    pub(super) fn says(self) -> (u8, &'static str) {
        match self {
            Self::Digits => (2, "every frame: lengths are written in lower case"),
            Self::Spelling => (6, "every frame: names in order, no white space, the right escapes"),
            Self::HeadsumCut => (6, "every message: headsum holds when it is cut out"),
            Self::HeadsumAgain => (6, "every message: headsum holds when the rest is encoded again"),
            Self::MessageIds => (6, "every frame: message ids are 16 lower-case hex digits"),
            Self::Posted => (6, "every frame: posted has one form"),
            Self::Uids => (6, "every frame: uids have 32 and node ids 40 characters of the alphabet"),
            Self::Fields => (7, "every frame: its operation's fields and no others"),
            Self::FromAndId => (7, "every frame: only messages have both from and id"),
            Self::InfoFirst => (8, "every link: info comes before the first message"),
            Self::Again => (10, "every link: what was acked is not sent again"),
            Self::SenderOrder => (10, "every link: messages of one sender come in the order of ids"),
        }
    }
}

/// What one link has seen, as far as the rules need it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    info: bool,
    acked: HashSet<String>,
    /// All ids, to know repetitions.
    ids: HashSet<String>,
    /// The last id of each sender.
    last: HashMap<String, String>,
}

impl Seen {
    /// The link acks this message now.
    pub(super) fn acks(&mut self, id: &str) {
        self.acked.insert(id.to_owned());
    }
}

/// The findings of all links together.
#[derive(Debug, Default)]
pub(super) struct Audit {
    rules: Mutex<BTreeMap<Rule, Finding>>,
}

/// How a rule has fared.
#[derive(Debug, Clone, Default)]
pub(super) struct Finding {
    /// Frames that it was held against.
    pub(super) frames: u64,
    /// Frames that broke it.
    pub(super) broken: u64,
    /// The first of these, in words.
    pub(super) example: Option<String>,
}

impl Audit {
    pub(super) fn finding(&self, rule: Rule) -> Finding {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.get(&rule).cloned().unwrap_or_default()
    }

    fn note(&self, rule: Rule, result: Result<(), String>) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let finding = rules.entry(rule).or_default();
        finding.frames += 1;
        if let Err(what) = result {
            finding.broken += 1;
            finding.example.get_or_insert(what);
        }
    }

    /// Holds a frame against all rules that concern it.
    pub(super) fn look(&self, frame: &Frame, seen: &mut Seen) {
        let raw = String::from_utf8_lossy(&frame.raw);
        let digits = frame.digits.iter().all(|digit| !digit.is_ascii_uppercase());
        self.note(Rule::Digits, holds(digits, || frame.digits.escape_ascii().to_string()));
        let spelling = [false, true].iter().any(|short| spelled(&frame.header, *short) == raw);
        self.note(
            Rule::Spelling,
            holds(spelling, || format!("{raw}; expected {}", spelled(&frame.header, false))),
        );
        self.note(Rule::Fields, fields(&frame.header).map_err(|why| format!("{why}: {raw}")));
        self.note(
            Rule::FromAndId,
            holds(!frame.is_message() || is_message_op(frame.op()), || raw.clone().into_owned()),
        );
        self.look_at_formats(frame, &raw);
        seen.info |= frame.op() == "info";
        if frame.is_message() {
            self.look_at_message(frame, &raw, seen);
        }
    }

    fn look_at_formats(&self, frame: &Frame, raw: &str) {
        let ids = ["msgid", "postid"].into_iter().filter(|name| frame.header.contains_key(*name));
        let id = frame.is_message().then_some("id");
        for name in ids.chain(id) {
            self.note(
                Rule::MessageIds,
                holds(is_message_id(frame.text(name)), || format!("{name} in {raw}")),
            );
        }
        if frame.header.contains_key("posted") {
            self.note(Rule::Posted, holds(is_posted(frame.text("posted")), || raw.to_owned()));
        }
        for (name, len) in [("from", 32), ("uid", 32), ("nodeid", 40)] {
            if frame.header.contains_key(name) {
                let text = frame.text(name);
                self.note(Rule::Uids, holds(is_base32(text, len), || format!("{name} in {raw}")));
            }
        }
    }

    fn look_at_message(&self, frame: &Frame, raw: &str, seen: &mut Seen) {
        let said = frame.header.get("headsum").and_then(Value::as_u64);
        let cut = said.is_some_and(|said| {
            let field = format!("\"headsum\":{said},");
            raw.contains(&field) && headsum(&raw.replacen(&field, "", 1)) == said
        });
        self.note(Rule::HeadsumCut, holds(cut, || raw.to_owned()));
        let mut rest = frame.header.clone();
        rest.remove("headsum");
        let again = [false, true].iter().any(|short| said == Some(headsum(&spelled(&rest, *short))));
        self.note(Rule::HeadsumAgain, holds(again, || raw.to_owned()));
        self.note(Rule::InfoFirst, holds(seen.info, || raw.to_owned()));
        let (id, from) = (frame.text("id"), frame.text("from"));
        self.note(Rule::Again, holds(!seen.acked.contains(id), || raw.to_owned()));
        // Urgent messages overtake others, and a repetition is older than what came behind the first.
        if frame.op() != "user" && seen.ids.insert(id.to_owned()) {
            let last = seen.last.insert(from.to_owned(), id.to_owned());
            let ascends = last.as_deref().is_none_or(|last| last < id);
            self.note(
                Rule::SenderOrder,
                holds(ascends, || format!("{raw} behind {}", last.unwrap_or_default())),
            );
        }
    }
}

fn holds(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn is_message_op(op: &str) -> bool {
    matches!(op, "login" | "user" | "ohiedit" | "invite" | "member" | "delivery" | "notify" | "ping")
}

/// The fields of a frame are those of its operation: mandatory ones, and some of the others.
fn fields(header: &Map<String, Value>) -> Result<(), String> {
    let has = |name: &str| header.contains_key(name);
    let op = header.get("op").and_then(Value::as_str).ok_or("op is no text")?;
    let std = ["from", "id", "posted", "headsum", "datalen"].as_slice();
    let none = [].as_slice();
    let data = ["datahead", "datasum"].as_slice();
    let (common, needed, optional): (&[&str], &[&str], &[&str]) = match op {
        "tmtprev" => (none, &["id", "name"], &["auth", "authby"]),
        "registered" => (none, &["uid", "nodeid"], &["error"]),
        "info" => (none, &["info"], &["ohi"]),
        "quit" => (none, &["error"], none),
        "ack" if has("error") => (none, &["id", "error"], none),
        "ack" if has("msgid") => (none, &["id", "msgid", "posted"], none),
        "ack" => (none, &["id"], none),
        "ohi" => (none, &["from", "status"], none),
        "login" => (std, &["node"], none),
        "user" if has("newalias") => (std, &["newalias"], none),
        "user" => (std, &["newnode", "nodeid"], none),
        "ohiedit" => (std, &["for", "type"], none),
        "invite" => (std, &["gid", "alias", "to"], data),
        "member" if header.get("act").is_some_and(|act| act == "alias") => {
            (std, &["gid", "act", "alias", "newalias"], none)
        }
        "member" => (std, &["gid", "act", "alias"], none),
        "delivery" => (std, none, &["datahead", "datasum", "notify"]),
        "notify" => (std, &["postid"], data),
        "ping" => (std, &["alias", "to"], data),
        other => return Err(format!("unknown op {other}")),
    };
    for name in common.iter().chain(needed) {
        if !has(name) {
            return Err(format!("{name} is missing"));
        }
    }
    let known =
        |name: &str| name == "op" || [common, needed, optional].iter().any(|list| list.contains(&name));
    if let Some(name) = header.keys().find(|name| !known(name)) {
        return Err(format!("{name} has no business here"));
    }
    // What is left out when it is nothing.
    for name in ["datahead", "datasum", "notify"] {
        if header.get(name).is_some_and(|value| value.as_u64().is_none_or(|number| number == 0)) {
            return Err(format!("{name} is to be left out, or a positive number"));
        }
    }
    if header.get("ohi").is_some_and(|ohi| ohi.as_array().is_none_or(Vec::is_empty)) {
        return Err("an empty ohi is to be left out".to_owned());
    }
    Ok(())
}

pub(super) fn is_message_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_posted(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00.000Z";
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(octet, form)| match form {
            b'0' => octet.is_ascii_digit(),
            other => octet == *other,
        })
}

fn is_base32(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|octet| b"%+123456789BCDFGHJKLMNPQRSTVWXYZ".contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::super::frame::request;
    use super::*;

    const GOOD: &str = r#"{"datalen":5,"from":"Z7BCDFGHJKLMNPQRSTVWXYZ123456789","headsum":2621465853,"id":"18bcf2a09d3e4f51","op":"delivery","posted":"2026-01-02T03:04:05.678Z"}"#;

    fn broken(headers: &[&str]) -> Vec<Rule> {
        let (audit, mut seen) = (Audit::default(), Seen::default());
        for header in headers {
            let mut octets = request(header.as_bytes(), b"");
            octets.extend(b"hello".repeat(usize::from(header.contains("datalen"))));
            let frame = Frame::cut(&mut octets).unwrap().expect("a frame");
            audit.look(&frame, &mut seen);
            if header.contains("headsum") {
                seen.acks(frame.text("id"));
            }
        }
        Rule::ALL.into_iter().filter(|rule| audit.finding(*rule).broken > 0).collect()
    }

    /// Goal: a good conversation breaks no rule; method: a login and the worked example.
    #[test]
    fn good_frames_pass() {
        assert_eq!(broken(&[r#"{"info":"login ok","op":"info"}"#, GOOD]), []);
    }

    /// Goal: every rule can be broken, by what it is about and by nothing else; method: one frame for each.
    #[test]
    fn each_rule_can_be_broken() {
        let info = r#"{"info":"login ok","op":"info"}"#;
        let cases: [(&[&str], &[Rule]); 12] = [
            (&[r#"{"op":"info","info":"login ok"}"#], &[Rule::Spelling]),
            (&[r#"{"info": "login ok","op":"info"}"#], &[Rule::Spelling]),
            (&[info, &GOOD.replace("5853", "5854")], &[Rule::HeadsumCut, Rule::HeadsumAgain]),
            (
                &[r#"{"id":"a","msgid":"18BCF2A09D3E4F51","op":"ack","posted":"2026-01-02T03:04:05.678Z"}"#],
                &[Rule::MessageIds],
            ),
            (
                &[r#"{"id":"a","msgid":"18bcf2a09d3e4f51","op":"ack","posted":"2026-01-02T03:04:05Z"}"#],
                &[Rule::Posted],
            ),
            (&[r#"{"from":"U","op":"ohi","status":1}"#], &[Rule::Uids]),
            (&[r#"{"info":"login ok","later":1,"op":"info"}"#], &[Rule::Fields]),
            (&[r#"{"error":"e","id":"a","msgid":"18bcf2a09d3e4f51","op":"ack"}"#], &[Rule::Fields]),
            (&[r#"{"info":"login ok","ohi":[],"op":"info"}"#], &[Rule::Fields]),
            (&[GOOD], &[Rule::InfoFirst]),
            (&[info, GOOD, GOOD], &[Rule::Again]),
            (
                &[info, &GOOD.replace("\"op\":\"delivery\"", "\"op\":\"wave\"")],
                &[Rule::HeadsumCut, Rule::HeadsumAgain, Rule::Fields, Rule::FromAndId],
            ),
        ];
        for (headers, rules) in cases {
            assert_eq!(broken(headers), rules, "{headers:?}");
        }
    }
}
