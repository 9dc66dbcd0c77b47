//! Plays a transcript: sends what people send, and compares what they get, field by field. Besides, every frame that
//! comes is held against what holds for all of them: the one spelling, the headsum, `info` before messages.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};
use tmtp_wire::headsum_holds;

use super::client::{Client, Frame};
use super::script::{Act, Octets, Outcome, Script, Step, admin_change};
use super::stage::{Came, Stage};
use super::variables::Variables;

/// The data of messages by which a client finds out that nothing else has come.
const FENCE: &[u8] = b"(fence)";

/// A transcript that is being played.
pub struct Play<'a, S> {
    stage: &'a mut S,
    script: &'a Script,
    variables: Variables,
    clients: HashMap<String, Client>,
    /// When each message was posted: the same for all who see it.
    posted: HashMap<String, String>,
    fences: u32,
    one_offs: usize,
}

impl<S: Stage> Play<'_, S> {
    /// Plays it to the end.
    ///
    /// # Errors
    /// What is different, with the line.
    pub async fn run(stage: &mut S, script: &Script) -> Result<()> {
        let mut play = Play {
            stage,
            script,
            variables: Variables::default(),
            clients: HashMap::new(),
            posted: HashMap::new(),
            fences: 0,
            one_offs: 0,
        };
        for (number, step) in &script.steps {
            let what = || format!("{}:{number}", script.name);
            play.step(step).await.with_context(what)?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Let { name, text } => {
                self.variables.set(name, text.clone());
                Ok(())
            }
            Step::Pass(time) => {
                self.stage.pass(*time, self.script.real_time).await;
                Ok(())
            }
            Step::Refuse => self.stage.refuse_next(),
            Step::Administer(change) => {
                let change = admin_change(&self.variables.filled(change)?)?;
                self.stage.administer(change)
            }
            Step::Does { who, act } => match (who.as_str(), act) {
                ("stranger" | "member", Act::Sends { octets, outcome: Some(outcome) }) => {
                    self.one_off(who, octets, outcome).await
                }
                _ => self.act(who, act).await,
            },
        }
    }

    /// Somebody new says one thing.
    async fn one_off(&mut self, who: &str, octets: &Octets, outcome: &Outcome) -> Result<()> {
        self.one_offs += 1;
        let gateway = self.one_offs % 2;
        if who == "member" {
            let alias = format!("Member {}", self.one_offs);
            self.join("me", gateway, &alias).await?;
        } else {
            self.connect("me", gateway, true).await?;
        }
        self.send("me", octets).await?;
        self.outcome("me", octets, outcome).await?;
        if let Some(client) = self.clients.remove("me") {
            self.stage.close(client.link).await;
        }
        Ok(())
    }

    async fn act(&mut self, who: &str, act: &Act) -> Result<()> {
        match act {
            Act::Joins { gateway, alias } => {
                let alias = alias.clone().unwrap_or_else(|| format!("{who} of {}", self.script.name));
                self.join(who, *gateway, &alias).await
            }
            Act::Connects { gateway, greets } => self.connect(who, *gateway, *greets).await,
            Act::LogsIn { gateway, as_whom } => {
                let (uid, node) = match as_whom {
                    Some((uid, node)) => (self.variables.filled(uid)?, self.variables.filled(node)?),
                    None => (
                        self.variables.get(&format!("{who}.uid"))?,
                        self.variables.get(&format!("{who}.node"))?,
                    ),
                };
                self.log_in(who, *gateway, &uid, &node).await
            }
            Act::Sends { octets, outcome } => {
                self.send(who, octets).await?;
                match outcome {
                    Some(outcome) => self.outcome(who, octets, outcome).await,
                    None => Ok(()),
                }
            }
            Act::Gets { frame, data, behind } => {
                let last = self.client(who)?.last;
                let data = match std::str::from_utf8(data) {
                    Ok(text) if text.contains('$') => self.variables.filled_text(text)?.into_bytes(),
                    _ => data.clone(),
                };
                self.expect(who, frame, &data).await?;
                let now = self.client(who)?.last;
                ensure!(!behind || now > last, "{who} got {frame} too early");
                Ok(())
            }
            Act::GetsQuit(text) => self.expect_quit(who, text).await,
            Act::LeavesAlone { device, time } => {
                let uid = self.variables.get(&format!("{who}.uid"))?;
                self.stage.leave_alone(&uid, *device, *time).await
            }
            Act::GetsEnd => self.expect_end(who, "end").await,
            Act::GetsCut => self.expect_end(who, "cut").await,
            Act::GetsNothing => self.expect_nothing(who).await,
            Act::Leaves => {
                let client = self.clients.remove(who).context("there is no such client")?;
                self.stage.close(client.link).await;
                Ok(())
            }
            Act::Quits => {
                self.send_json(who, &json!({"op": 12}), b"").await?;
                self.expect_quit(who, "logout ok").await
            }
            Act::AcksByHand => {
                self.client(who)?.acks_all = false;
                Ok(())
            }
            Act::Acks(id) => {
                let id = self.variables.filled(id)?;
                self.send_json(who, &json!({"op": 10, "id": id, "type": "ok"}), b"").await
            }
            Act::StopsReading => {
                let link = self.client(who)?.link;
                self.stage.stop_reading(link).await;
                Ok(())
            }
        }
    }

    // Coming and going.

    async fn connect(&mut self, who: &str, gateway: usize, greets: bool) -> Result<()> {
        let link = self.stage.connect(gateway).await?;
        self.clients.insert(who.to_owned(), Client::new(link));
        if greets {
            self.send_json(who, &json!({"Op": 0, "Id": "1"}), b"").await?;
            let expected = json!({"op": "tmtprev", "id": "1", "name": self.script.name}).to_string();
            self.expect(who, &expected, b"").await?;
        }
        Ok(())
    }

    async fn join(&mut self, who: &str, gateway: usize, alias: &str) -> Result<()> {
        self.connect(who, gateway, true).await?;
        self.send_json(who, &json!({"Op": 1, "NewNode": "x", "NewAlias": alias}), b"").await?;
        for variable in ["uid", "node"] {
            self.variables.remove(&format!("{who}.{variable}"));
        }
        let registered = format!(r#"{{"op":"registered","uid":"${who}.uid","nodeid":"${who}.node"}}"#);
        self.expect(who, &registered, b"").await?;
        self.expect(who, r#"{"op":"info","info":"login ok"}"#, b"").await?;
        self.variables.set(&format!("{who}.alias"), alias.to_owned());
        let uid = self.variables.get(&format!("{who}.uid"))?;
        self.client(who)?.uid = Some(uid);
        Ok(())
    }

    async fn log_in(&mut self, who: &str, gateway: usize, uid: &str, node: &str) -> Result<()> {
        self.connect(who, gateway, true).await?;
        self.send_json(who, &json!({"Op": 2, "Uid": uid, "Node": node}), b"").await?;
        self.client(who)?.uid = Some(uid.to_owned());
        Ok(())
    }

    // Sending.

    async fn send(&mut self, who: &str, octets: &Octets) -> Result<()> {
        let octets = match octets {
            Octets::Raw(octets) => octets.clone(),
            Octets::Exact(header) => frame(&self.variables.filled(header)?, b""),
            Octets::Frame { header, data } => {
                let header = self.variables.filled(header)?;
                let named = header.to_lowercase().contains("\"datalen\"");
                let header = match header.strip_prefix('{') {
                    Some(rest) if !data.is_empty() && !named => {
                        format!("{{\"datalen\":{},{rest}", data.len())
                    }
                    _ => header,
                };
                frame(&header, data)
            }
        };
        let link = self.client(who)?.link;
        self.stage.send(link, &octets).await
    }

    async fn send_json(&mut self, who: &str, header: &Value, data: &[u8]) -> Result<()> {
        let link = self.client(who)?.link;
        self.stage.send(link, &frame(&header.to_string(), data)).await
    }

    async fn outcome(&mut self, who: &str, octets: &Octets, outcome: &Outcome) -> Result<()> {
        let id = match octets {
            Octets::Frame { header, .. } => {
                let header: Map<String, Value> = serde_json::from_str(&self.variables.filled(header)?)?;
                let id = header.iter().find(|(name, _)| name.eq_ignore_ascii_case("id"));
                id.map_or(Value::Null, |(_, id)| id.clone())
            }
            _ => Value::Null,
        };
        let ack = match outcome {
            Outcome::Quit(text) => return self.expect_quit(who, text).await,
            Outcome::End => return self.expect_end(who, "end").await,
            Outcome::Acked => json!({"op": "ack", "id": id}),
            Outcome::Posted(variable) => json!({"op": "ack", "id": id, "msgid": variable}),
            Outcome::Refused(text) => json!({"op": "ack", "id": id, "error": text}),
        };
        self.expect_value(who, ack, b"").await
    }

    // Receiving.

    fn client(&mut self, who: &str) -> Result<&mut Client> {
        self.clients.get_mut(who).with_context(|| format!("{who} is not connected"))
    }

    /// Takes in what comes next. False: nothing comes.
    async fn pump(&mut self, who: &str, briefly: bool) -> Result<bool> {
        let client = self.clients.get_mut(who).with_context(|| format!("{who} is not connected"))?;
        let octets = match self.stage.read(client.link, briefly).await? {
            Came::Nothing => return Ok(false),
            Came::End => return Ok(client.end.replace("end").is_none()),
            Came::Cut => return Ok(client.end.replace("cut").is_none()),
            Came::Octets(octets) => octets,
        };
        let frames = client.cut(&octets)?;
        for (raw, data) in frames {
            self.file(who, &raw, data).await?;
        }
        Ok(true)
    }

    async fn file(&mut self, who: &str, raw: &[u8], data: Vec<u8>) -> Result<()> {
        let text = String::from_utf8_lossy(raw).into_owned();
        let header: Map<String, Value> = serde_json::from_str(&text)?;
        let is_message = header.contains_key("from") && header.contains_key("id");
        ensure!(!is_message || headsum_holds(raw), "the headsum of {text} is wrong");
        if let (Some(Value::String(id)), Some(Value::String(posted))) =
            (header.get(if is_message { "id" } else { "msgid" }), header.get("posted"))
        {
            let first = self.posted.entry(id.clone()).or_insert_with(|| posted.clone());
            // An ack of a repeated request may come from a time before; but it is the same time.
            ensure!(first == posted, "message {id} was posted at {first}, and at {posted}");
        }
        let client = self.client(who)?;
        ensure!(client.quit.is_none(), "{text} came behind quit");
        let op = header.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
        client.informed |= op == "info";
        let is_early = !client.informed && (is_message || matches!(op.as_str(), "ohi" | "ack"));
        ensure!(!is_early, "{text} came before info");
        client.came += 1;
        let id = header.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let acks = is_message && (client.acks_all || data == FENCE);
        let frame = Frame { number: client.came, header, data };
        match op.as_str() {
            _ if is_message && frame.data == FENCE => client.fences.push(id.clone()),
            _ if is_message => client.messages.push_back(frame),
            "ack" => client.acks.push_back(frame),
            "ohi" => client.notices.push_back(frame),
            "quit" => client.quit = Some(frame.header["error"].as_str().unwrap_or_default().to_owned()),
            _ => client.answers.push_back(frame),
        }
        if acks {
            self.send_json(who, &json!({"op": 10, "id": id, "type": "ok"}), b"").await?;
        }
        Ok(())
    }

    async fn expect(&mut self, who: &str, frame: &str, data: &[u8]) -> Result<()> {
        let expected: Value = serde_json::from_str(frame)?;
        self.expect_value(who, expected, data).await
    }

    async fn expect_value(&mut self, who: &str, mut expected: Value, data: &[u8]) -> Result<()> {
        let op = expected["op"].as_str().context("the frame has no op")?.to_owned();
        let got = loop {
            let client = self.client(who)?;
            let queue = match op.as_str() {
                "ack" => &mut client.acks,
                "ohi" => &mut client.notices,
                "tmtprev" | "registered" | "info" => &mut client.answers,
                _ => &mut client.messages,
            };
            if let Some(frame) = queue.pop_front() {
                break frame;
            }
            if client.end.is_some() || !self.pump(who, false).await? {
                bail!("{who} expected {expected}, got {}", self.client(who)?.rest());
            }
        };
        self.client(who)?.last = got.number;
        let mut header = got.header;
        // What is only worth a line where it matters.
        let is_message = header.contains_key("from") && header.contains_key("id");
        for name in ["posted", "headsum", "datalen", "id"] {
            if expected.get(name).is_none() && (is_message || name == "posted") {
                header.remove(name);
            }
        }
        let header = Value::Object(header);
        self.variables.bind(&mut expected, &header)?;
        ensure!(expected == header, "{who} expected {expected}, got {header}");
        ensure!(
            got.data == data,
            "{who} expected the data {:?}, got {:?}",
            String::from_utf8_lossy(&data[..data.len().min(500)]),
            String::from_utf8_lossy(&got.data[..got.data.len().min(500)])
        );
        Ok(())
    }

    async fn expect_quit(&mut self, who: &str, text: &str) -> Result<()> {
        self.expect_end(who, "end").await.with_context(|| format!("{who} expected quit: {text}"))?;
        let text = self.variables.filled_text(text)?;
        let got = self.clients.get(who).and_then(|client| client.quit.clone());
        ensure!(got.as_deref() == Some(&text), "{who} expected quit: {text}, got {got:?}");
        self.clients.remove(who);
        Ok(())
    }

    /// The connection ends, with all frames that came looked at, but `quit`.
    async fn expect_end(&mut self, who: &str, how: &str) -> Result<()> {
        while self.client(who)?.end.is_none() {
            let came = self.pump(who, false).await?;
            ensure!(came, "{who} expected the end, got {}", self.client(who)?.rest());
        }
        let client = self.client(who)?;
        ensure!(client.end == Some(how), "{who} expected {how}, got {:?}", client.end);
        ensure!(client.half.is_none() && client.decoder.is_idle(), "the link ended in the middle of a frame");
        let quit = client.quit.take();
        ensure!(client.is_quiet(), "{who} expected the end, got {}", client.rest());
        client.quit = quit;
        Ok(())
    }

    async fn expect_nothing(&mut self, who: &str) -> Result<()> {
        if let Some(uid) = self.client(who)?.uid.clone() {
            self.fences += 1;
            let id = format!("fence {}", self.fences);
            let post = json!({"op": 7, "id": id, "for": [{"id": uid, "type": 1}], "datalen": FENCE.len()});
            self.send_json(who, &post, FENCE).await?;
            let msgid = loop {
                let acks = &mut self.client(who)?.acks;
                if let Some(place) = acks.iter().position(|ack| ack.header["id"] == json!(id)) {
                    break acks.remove(place).context("it is there")?.header["msgid"].clone();
                }
                ensure!(self.pump(who, false).await?, "{who} can send nothing any more");
            };
            while !self.client(who)?.fences.iter().any(|fence| msgid == json!(fence)) {
                ensure!(self.pump(who, false).await?, "{who} does not get what it sends to itself");
            }
        } else {
            while self.pump(who, true).await? {}
        }
        let client = self.client(who)?;
        ensure!(client.is_quiet(), "{who} expected nothing, got {}", client.rest());
        Ok(())
    }
}

fn frame(header: &str, data: &[u8]) -> Vec<u8> {
    [format!("{:04x}{header}", header.len()).as_bytes(), data].concat()
}
