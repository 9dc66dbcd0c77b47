//! Clients that do anything, in any order, to a cluster without processes. Whatever they do: nothing panics, frames are
//! well-formed, `info` comes before messages, acks come in the order of requests, what was acked is not sent again, and in
//! the end all octets of the budget are given back.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use arbitrary::Arbitrary;
use serde_json::{Map, Value, json};
use tmtp_domain::Registration;
use tmtp_wire::{Decoder, Item, Response, headsum_holds};

use crate::Pure;

/// What a client does.
#[derive(Debug, Arbitrary)]
pub(super) enum Act {
    Connect(bool),
    Asks {
        link: u8,
        ask: Ask,
        again: bool,
    },
    /// A request of which only so much is sent.
    AsksHalf {
        link: u8,
        ask: Ask,
        octets: u16,
    },
    Octets {
        link: u8,
        octets: Vec<u8>,
    },
    Closes(u8),
    StopsReading(u8),
    /// Tenths of a second.
    Pass(u16),
}

/// A request.
#[derive(Debug, Arbitrary)]
pub(super) enum Ask {
    Revision,
    Register(Option<u8>),
    Login(u8),
    Alias(u8),
    Node,
    Ohi {
        kind: u8,
        whom: Vec<u8>,
    },
    Invite {
        gid: u8,
        from: u8,
        to: u8,
        text: Vec<u8>,
    },
    Edit {
        act: u8,
        gid: u8,
        alias: u8,
    },
    Post {
        to: Vec<(u8, u8)>,
        len: u16,
    },
    Forward {
        to: Vec<(u8, u8)>,
        note: Vec<(u8, u8)>,
        not_self: bool,
        len: u16,
    },
    Ping {
        from: u8,
        to: u8,
        text: Vec<u8>,
    },
    /// Of the message that came so many before the last.
    Ack(u8),
    Pulse,
    Quit,
}

impl Ask {
    fn has_ack(&self) -> bool {
        match self {
            Self::Alias(_)
            | Self::Node
            | Self::Ohi { .. }
            | Self::Invite { .. }
            | Self::Edit { .. }
            | Self::Post { .. }
            | Self::Forward { .. }
            | Self::Ping { .. } => true,
            Self::Revision | Self::Register(_) | Self::Login(_) | Self::Ack(_) | Self::Pulse | Self::Quit => {
                false
            }
        }
    }
}

/// What clients know together.
#[derive(Default)]
pub(super) struct World {
    /// Uids and node ids.
    nodes: Vec<(String, String)>,
    requests: u64,
    /// By node id: what it has acked for certain.
    acked: HashMap<String, HashSet<String>>,
}

pub(super) struct Client {
    pub link: usize,
    decoder: Decoder<Response<'static>>,
    node: Option<String>,
    /// Everything was sent in whole frames, everything is read, and it is known of which node the link is.
    pub orderly: bool,
    /// How often requests were made that are not answered, by number.
    pub asked: HashMap<u64, u32>,
    informed: bool,
    last_ack: u64,
    got: Vec<String>,
}

impl Client {
    /// What was asked for and is not answered.
    pub fn unanswered(&self) -> Vec<u64> {
        self.asked.iter().filter(|(_, times)| **times > 0).map(|(number, _)| *number).collect()
    }
}

fn alias(number: u8) -> String {
    format!("Somebody {}", number % 6)
}

fn gid(number: u8) -> String {
    format!("A group {}", number % 3)
}

impl World {
    fn node(&self, number: u8) -> Option<&(String, String)> {
        self.nodes.get(usize::from(number) % self.nodes.len().max(1))
    }

    fn uid(&self, number: u8) -> String {
        self.node(number).map_or_else(|| "nobody".to_owned(), |(uid, _)| uid.clone())
    }

    fn list(&self, elements: &[(u8, u8)]) -> Value {
        let element = |(id, kind): &(u8, u8)| {
            let kind = kind % 3 + 1;
            json!({"id": if kind == 1 { self.uid(*id) } else { gid(*id) }, "type": kind})
        };
        elements.iter().take(20).map(element).collect()
    }

    fn request(&mut self, client: &Client, ask: &Ask) -> Vec<u8> {
        self.requests += 1;
        let id = self.requests.to_string();
        let (mut header, data): (Value, Vec<u8>) = match ask {
            Ask::Revision => (json!({"op": 0, "id": id}), vec![]),
            Ask::Register(name) => {
                let name = name.map_or_else(|| "_".to_owned(), alias);
                (json!({"op": 1, "newnode": "n", "newalias": name}), vec![])
            }
            Ask::Login(number) => {
                let (uid, node) = self.node(*number).cloned().unwrap_or_default();
                (json!({"op": 2, "uid": uid, "node": node}), vec![])
            }
            Ask::Alias(number) => (json!({"op": 3, "id": id, "newalias": alias(*number)}), vec![]),
            Ask::Node => (json!({"op": 3, "id": id, "newnode": "another"}), vec![]),
            Ask::Ohi { kind, whom } => {
                let list: Value =
                    whom.iter().take(20).map(|number| json!({"id": self.uid(*number)})).collect();
                let kind = ["init", "add", "drop", "odd"][usize::from(kind % 4)];
                (json!({"op": 4, "id": id, "for": list, "type": kind}), vec![])
            }
            Ask::Invite { gid: group, from, to, text } => {
                let (group, from, to) = (gid(*group), alias(*from), alias(*to));
                (json!({"op": 5, "id": id, "gid": group, "from": from, "to": to}), text.clone())
            }
            Ask::Edit { act, gid: group, alias: name } => {
                let act = ["join", "alias", "drop", "odd"][usize::from(act % 4)];
                let (group, name) = (gid(*group), alias(*name));
                (json!({"op": 6, "id": id, "act": act, "gid": group, "newalias": name, "to": name}), vec![])
            }
            Ask::Post { to, len } => {
                (json!({"op": 7, "id": id, "for": self.list(to)}), vec![b'x'; usize::from(*len)])
            }
            Ask::Forward { to, note, not_self, len } => {
                let (to, note) = (self.list(to), self.list(note));
                let header = json!({"op": 8, "id": id, "for": to, "notefor": note, "fornotself": not_self, "notelen": 3});
                (header, vec![b'y'; usize::from(*len)])
            }
            Ask::Ping { from, to, text } => {
                (json!({"op": 9, "id": id, "from": alias(*from), "to": alias(*to)}), text.clone())
            }
            Ask::Ack(back) => {
                let place = client.got.len().checked_sub(1 + usize::from(*back));
                let message = place.map_or("0000000000000000", |place| &client.got[place]).to_owned();
                if let Some(node) = client.node.as_ref().filter(|_| client.orderly && place.is_some()) {
                    self.acked.entry(node.clone()).or_default().insert(message.clone());
                }
                (json!({"op": 10, "id": message, "type": "ok"}), vec![])
            }
            Ask::Pulse => (json!({"op": 11}), vec![]),
            Ask::Quit => (json!({"op": 12}), vec![]),
        };
        if !data.is_empty() {
            header["datalen"] = json!(data.len());
        }
        let header = header.to_string();
        [format!("{:04x}{header}", header.len()).as_bytes(), &data].concat()
    }

    /// Reads what came, and holds it against the rules.
    pub fn look(&mut self, pure: &mut Pure, client: &mut Client) {
        let octets = pure.read(client.link);
        let mut input = &octets[..];
        while let Some(item) = client.decoder.next(&mut input).expect("servers write frames") {
            let Item::Header { header, raw } = item else { continue };
            let mut again = Vec::new();
            header.encode(&mut again).expect("what came can be written");
            assert_eq!(again[4..], *raw, "not spelled right");
            let fields: Map<String, Value> = serde_json::from_slice(&raw).expect("headers are JSON");
            self.take(client, &fields, &raw);
        }
        assert!(pure.end(client.link).is_none() || client.decoder.is_idle(), "it ended within a frame");
    }

    fn take(&mut self, client: &mut Client, fields: &Map<String, Value>, raw: &[u8]) {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match text("op").as_str() {
            "registered" => {
                client.node = Some(text("nodeid"));
                self.nodes.push((text("uid"), text("nodeid")));
            }
            "info" => client.informed = true,
            "ack" => {
                let id: u64 = text("id").parse().unwrap_or(client.last_ack);
                assert!(id >= client.last_ack, "the ack of {id} came behind that of {}", client.last_ack);
                client.last_ack = id;
                let asked = client.asked.get_mut(&id).filter(|asked| **asked > 0);
                assert!(!client.orderly || asked.is_some(), "{id} was answered once more than asked");
                if let Some(asked) = asked {
                    *asked -= 1;
                }
            }
            _ if fields.contains_key("from") && fields.contains_key("id") => {
                assert!(client.informed, "a message came before info");
                assert!(headsum_holds(raw), "the headsum is wrong");
                let node = (text("from"), text("nodeid"));
                if fields.contains_key("nodeid") && !self.nodes.contains(&node) {
                    self.nodes.push(node);
                }
                let known = client.node.as_ref().and_then(|node| self.acked.get(node));
                assert!(
                    !known.is_some_and(|acked| acked.contains(&text("id"))),
                    "an acked message came again"
                );
                client.got.push(text("id"));
            }
            _ => {}
        }
    }

    pub fn act(&mut self, pure: &mut Pure, clients: &mut Vec<Client>, act: &Act) {
        match act {
            Act::Connect(_) if clients.len() >= 12 => {}
            Act::Connect(second) => clients.push(Client {
                link: pure.connect(usize::from(*second)),
                decoder: Decoder::new(),
                node: None,
                orderly: true,
                asked: HashMap::new(),
                informed: false,
                last_ack: 0,
                got: Vec::new(),
            }),
            Act::Asks { link, ask, again } => {
                let Some(client) = pick(clients, *link) else { return };
                if let (Ask::Login(number), None) = (ask, &client.node) {
                    client.node = self.node(*number).map(|(_, node)| node.clone());
                } else if matches!(ask, Ask::Login(_) | Ask::Register(_)) && client.node.is_some() {
                    client.orderly = false;
                }
                let octets = self.request(client, ask);
                let again = *again && matches!(ask, Ask::Post { .. } | Ask::Ping { .. } | Ask::Node);
                for _ in 0..=usize::from(again) {
                    if ask.has_ack() {
                        *client.asked.entry(self.requests).or_default() += 1;
                    }
                    pure.send(client.link, &octets);
                }
            }
            Act::AsksHalf { link, ask, octets } => {
                let Some(client) = pick(clients, *link) else { return };
                client.orderly = false;
                let request = self.request(client, ask);
                pure.send(client.link, &request[..usize::from(*octets).min(request.len())]);
            }
            Act::Octets { link, octets } => {
                let Some(client) = pick(clients, *link) else { return };
                client.orderly = false;
                pure.send(client.link, octets);
            }
            Act::Closes(link) => {
                let Some(client) = pick(clients, *link) else { return };
                pure.close(client.link);
            }
            Act::StopsReading(link) => {
                let Some(client) = pick(clients, *link) else { return };
                client.orderly = false;
                pure.stop_reading(client.link);
            }
            Act::Pass(tenths) => pure.pass(Duration::from_millis(u64::from(*tenths % 3000) * 100)),
        }
    }
}

fn pick(clients: &mut [Client], number: u8) -> Option<&mut Client> {
    let len = clients.len();
    clients.get_mut(usize::from(number) % len.max(1))
}

/// Lets clients do what these octets stand for.
///
/// # Panics
/// When something is wrong.
pub fn run(octets: &[u8]) {
    let Some(acts) = super::read::<Vec<Act>>(octets) else { return };
    let mut pure = Pure::new("Anywhere", Registration::Open);
    let mut world = World::default();
    let mut clients = Vec::new();
    for act in acts.iter().take(200) {
        world.act(&mut pure, &mut clients, act);
        for client in &mut clients {
            world.look(&mut pure, client);
        }
    }
    end(&mut pure, &mut world, &mut clients);
}

/// Everything that was asked for is answered, and nothing is left when all have gone.
pub(super) fn end(pure: &mut Pure, world: &mut World, clients: &mut [Client]) {
    pure.pass(Duration::from_mins(1));
    for client in clients {
        world.look(pure, client);
        let waits = client.orderly && pure.end(client.link).is_none();
        assert!(!waits || client.unanswered().is_empty(), "{:?} are not answered", client.unanswered());
        pure.close(client.link);
    }
    pure.pass(Duration::from_mins(10));
    assert_eq!(pure.reserved(), 0, "octets of the budget are lost");
    assert_eq!(pure.sessions(), 0, "the home still holds sessions");
}
