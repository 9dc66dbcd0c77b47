//! The frames that a session writes by itself. Everything here fits into a header, or is replaced by what does.

use std::borrow::Cow;

use tmtp_contract::Answer;
use tmtp_domain::{NodeSecret, Refusal, Uid};
use tmtp_wire::Response;

use super::refused;

/// Uids in `info` that are sure to fit its header; more follow as `ohi` frames.
const OHI_IN_INFO: usize = 1_500;

/// Appends a frame. Texts of this gateway always fit; a text from elsewhere that does not is not worth a frame.
pub fn push_frame(out: &mut Vec<u8>, response: &Response<'_>) {
    let fits = response.encode(out);
    debug_assert!(fits.is_ok(), "an unfitting text must be refused before");
}

/// Appends `info`, and what does not fit into it.
pub fn push_info(out: &mut Vec<u8>, ohi: &[Uid]) {
    let (first, rest) = ohi.split_at(ohi.len().min(OHI_IN_INFO));
    let ohi = first.iter().map(|uid| uid.to_string().into()).collect();
    push_frame(out, &Response::Info { info: "login ok".into(), ohi });
    for uid in rest {
        push_frame(out, &Response::Ohi { from: uid.to_string().into(), status: 1 });
    }
}

/// Appends `registered`. A refusal of the alias that does not fit is replaced by one that does.
pub fn push_registered(out: &mut Vec<u8>, uid: Uid, secret: &NodeSecret, alias_error: Option<String>) {
    let mut registered = Response::Registered {
        uid: uid.to_string().into(),
        node_id: secret.reveal().into(),
        error: alias_error.map(Cow::Owned),
    };
    if registered.encode(out).is_err()
        && let Response::Registered { error, .. } = &mut registered
    {
        *error = Some(Refusal::TooLarge.to_string().into());
        push_frame(out, &registered);
    }
}

/// The ack that an answer becomes. `None` for answers to something else than a request, which only a bug makes.
pub fn render_ack(id: &str, answer: &Answer) -> Option<Vec<u8>> {
    let (receipt, error) = match answer {
        Answer::Done => (None, None),
        Answer::Posted { msg_id, posted } => {
            (Some((msg_id.to_string().into(), posted.to_string().into())), None)
        }
        Answer::Refused(text) => return Some(ack_error(id, text)),
        Answer::Registered { .. }
        | Answer::Waiting { .. }
        | Answer::LoggedIn { .. }
        | Answer::NotLoggedIn(_)
        | Answer::Attached => return None,
    };
    let mut out = Vec::new();
    push_frame(&mut out, &Response::Ack { id: id.into(), receipt, error });
    Some(out)
}

/// A refusal. A text with offending values that does not fit is replaced by one that does.
pub fn ack_error(id: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let ack = |text: Cow<'static, str>| Response::Ack {
        id: id.to_owned().into(),
        receipt: None,
        error: Some(text),
    };
    if ack(text.to_owned().into()).encode(&mut out).is_err() {
        push_frame(&mut out, &ack(Refusal::TooLarge.to_string().into()));
    }
    out
}

/// Every ack that a request of this id may get fits into a header.
pub fn ack_fits(id: &str) -> bool {
    // Escaping makes six octets of one at most: the short ones need no trial.
    id.len() < 8_000
        || Response::Ack {
            id: id.into(),
            receipt: Some(("ffffffffffffffff".into(), "9999-12-31T23:59:59.999Z".into())),
            error: Some(refused::LONGEST.into()),
        }
        .encode(&mut Vec::new())
        .is_ok()
}
