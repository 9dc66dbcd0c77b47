//! Makes frames at random. They must be such that decoding gives back exactly what was encoded: no empty text where
//! empty means absent, no lengths that the checks refuse.

use std::borrow::Cow;

use proptest::{option, prelude::*};
use tmtp_wire::{AuthBy, DataInfo, Oidc, Recipient, Request, Response, Std, UserChange};

type Owned = Cow<'static, str>;

/// Any text, often one with characters that have to be escaped. Boxed, as all that are made of several of these: they
/// would not fit on the stack of a test otherwise.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z0-9+%]{1,12}",
        any::<String>().prop_map(|text| text + "."),
        "[\u{0}-\u{20}<>&\"\\\\\u{7f}\u{2027}-\u{202a}é😀\u{fffd}]{1,9}",
    ]
    .boxed()
}

fn cow() -> impl Strategy<Value = Owned> {
    text().prop_map(Cow::Owned)
}

fn maybe_empty() -> impl Strategy<Value = Owned> {
    prop_oneof![cow(), Just(Cow::Borrowed(""))]
}

/// Lengths of at most 99 octets, at least `least`.
fn data(least: u64) -> impl Strategy<Value = DataInfo> {
    (least..100)
        .prop_flat_map(|len| (0..=len, any::<u64>()).prop_map(move |(head, sum)| DataInfo { len, head, sum }))
}

fn recipients(kinds: std::ops::RangeInclusive<i8>) -> impl Strategy<Value = Vec<Recipient>> {
    prop::collection::vec((text(), kinds).prop_map(|(id, kind)| Recipient { id, kind }), 0..4)
}

fn oidc() -> BoxedStrategy<Oidc> {
    (text(), any::<u64>(), text(), text(), text(), text())
        .prop_map(|(token_type, expires_in, id_token, access_token, refresh_token, scope)| Oidc {
            token_type,
            expires_in,
            id_token,
            access_token,
            refresh_token,
            scope,
        })
        .boxed()
}

fn post_notify() -> BoxedStrategy<Request> {
    let lists = (recipients(1..=3), recipients(1..=3));
    (text(), lists, any::<bool>(), data(1), data(1))
        .prop_map(|(id, lists, for_not_self, data, note)| Request::PostNotify {
            id,
            recipients: lists.0,
            note_recipients: lists.1,
            for_not_self,
            data,
            note,
        })
        .boxed()
}

/// Any request.
pub fn request() -> BoxedStrategy<Request> {
    prop_oneof![
        text().prop_map(|id| Request::TmtpRev { id }),
        (text(), text(), option::of(oidc()), option::of(text())).prop_map(
            |(new_node, new_alias, oidc, invite)| Request::Register { invite, new_node, new_alias, oidc }
        ),
        (text(), text()).prop_map(|(uid, node)| Request::Login { uid, node }),
        (text(), option::of(text()), option::of(text()))
            .prop_map(|(id, new_node, new_alias)| Request::UserEdit { id, new_node, new_alias }),
        (text(), recipients(i8::MIN..=i8::MAX), maybe_empty())
            .prop_map(|(id, recipients, kind)| Request::OhiEdit { id, recipients, kind: kind.into() }),
        (text(), text(), text(), text(), data(0))
            .prop_map(|(id, gid, from, to, data)| Request::GroupInvite { id, gid, from, to, data }),
        (text(), text(), text(), option::of(text()), option::of(text()))
            .prop_map(|(id, act, gid, to, new_alias)| Request::GroupEdit { id, act, gid, to, new_alias }),
        (text(), recipients(1..=3), data(1)).prop_map(|(id, recipients, data)| Request::Post {
            id,
            recipients,
            data
        }),
        post_notify(),
        (text(), text(), text(), data(0)).prop_map(|(id, from, to, data)| Request::Ping {
            id,
            from,
            to,
            data
        }),
        (text(), text()).prop_map(|(id, kind)| Request::Ack { id, kind }),
        Just(Request::Pulse),
        Just(Request::Quit),
    ]
    .boxed()
}

fn std() -> BoxedStrategy<Std<'static>> {
    (cow(), cow(), cow(), data(0)).prop_map(|(from, id, posted, data)| Std { from, id, posted, data }).boxed()
}

fn auth_by() -> impl Strategy<Value = AuthBy<'static>> {
    (cow(), [maybe_empty(), maybe_empty()], [maybe_empty(), maybe_empty()])
        .prop_map(|(label, login, token)| AuthBy { label, login, token })
}

fn change() -> impl Strategy<Value = UserChange<'static>> {
    prop_oneof![
        cow().prop_map(UserChange::Alias),
        (maybe_empty(), cow()).prop_map(|(label, node_id)| UserChange::Node { label, node_id }),
    ]
}

/// Any response that is not queued.
fn plain() -> BoxedStrategy<Response<'static>> {
    prop_oneof![
        (maybe_empty(), option::of(any::<u8>()), option::of(prop::collection::vec(auth_by(), 0..3)))
            .prop_map(|(name, auth, auth_by)| Response::TmtpRev { name, auth, auth_by }),
        (cow(), cow(), option::of(cow())).prop_map(|(uid, node_id, error)| Response::Registered {
            uid,
            node_id,
            error
        }),
        (cow(), prop::collection::vec(maybe_empty(), 0..4))
            .prop_map(|(info, ohi)| Response::Info { info, ohi }),
        cow().prop_map(|error| Response::Quit { error }),
        (maybe_empty(), option::of((cow(), cow())), option::of(cow()))
            .prop_map(|(id, receipt, error)| Response::Ack { id, receipt, error }),
        (cow(), any::<u8>()).prop_map(|(from, status)| Response::Ohi { from, status }),
        (0..100_u64).prop_map(|data_len| Response::Unknown { op: "wave".into(), data_len }),
    ]
    .boxed()
}

/// Any response.
pub fn response() -> BoxedStrategy<Response<'static>> {
    prop_oneof![
        2 => plain(),
        1 => (std(), cow()).prop_map(|(std, node)| Response::Login { std, node }),
        1 => (std(), change()).prop_map(|(std, change)| Response::User { std, change }),
        1 => (std(), recipients(i8::MIN..=i8::MAX), cow())
            .prop_map(|(std, list, kind)| Response::OhiEdit { std, recipients: list.into(), kind }),
        1 => (std(), cow(), cow(), cow()).prop_map(|(std, gid, alias, to)| Response::Invite { std, gid, alias, to }),
        1 => (std(), cow(), cow(), cow(), option::of(cow())).prop_map(|(std, act, gid, alias, new_alias)| {
            Response::Member { std, act, gid, alias, new_alias }
        }),
        1 => (std(), any::<u64>()).prop_map(|(std, notify)| Response::Delivery { std, notify }),
        1 => (std(), cow()).prop_map(|(std, post_id)| Response::Notify { std, post_id }),
        1 => (std(), cow(), cow()).prop_map(|(std, alias, to)| Response::Ping { std, alias, to }),
    ]
    .boxed()
}
