//! How a transcript is written; `testdata/transcripts/README.md` explains it. It must never guess: a line that it does
//! not understand fails the transcript.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tmtp_contract::{AdminChange, SetAway};
use tmtp_domain::{Away, GroupRule, Policy, Registration, Uid};

/// A transcript.
#[derive(Debug)]
pub struct Script {
    /// Its file's name.
    pub name: String,
    /// Who can register there.
    pub registration: Registration,
    /// What the site allows.
    pub policy: Policy,
    /// Its times are those of the login, which no setting scales.
    pub real_time: bool,
    /// It has several messages in flight to one node.
    pub wide: bool,
    /// A real cluster cannot be brought into this situation.
    pub pure_only: bool,
    /// Only a real cluster can, because it is about what stands in the database.
    pub real_only: bool,
    /// The rows of `rows.txt` that it shows.
    pub covers: Vec<String>,
    /// What happens, with the number of the line.
    pub steps: Vec<(usize, Step)>,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// A variable.
    Let { name: String, text: String },
    /// Time passes.
    Pass(Duration),
    /// The database will not take what comes of the next command.
    Refuse,
    /// An admin changes something, before variables are put in.
    Administer(String),
    /// Somebody does something.
    Does { who: String, act: Act },
}

/// What somebody does, or gets.
#[derive(Debug, Clone)]
pub enum Act {
    Joins {
        gateway: usize,
        alias: Option<String>,
    },
    Connects {
        gateway: usize,
        greets: bool,
    },
    LogsIn {
        gateway: usize,
        as_whom: Option<(String, String)>,
    },
    Sends {
        octets: Octets,
        outcome: Option<Outcome>,
    },
    /// `behind`: what came before is what was got last.
    Gets {
        frame: String,
        data: Vec<u8>,
        behind: bool,
    },
    GetsQuit(String),
    GetsEnd,
    GetsCut,
    GetsNothing,
    Leaves,
    /// Nobody uses a device, which has messages to get, for so long; and the server has looked after it since.
    LeavesAlone {
        device: i16,
        time: Duration,
    },
    Quits,
    AcksByHand,
    Acks(String),
    StopsReading,
}

/// What goes over the wire, before variables are put in.
#[derive(Debug, Clone)]
pub enum Octets {
    /// A frame; `datalen` is added if there is data and the header does not name it.
    Frame { header: String, data: Vec<u8> },
    /// A frame with exactly this header.
    Exact(String),
    /// As they are.
    Raw(Vec<u8>),
}

/// What a request leads to, when that is said in its line.
#[derive(Debug, Clone)]
pub enum Outcome {
    Acked,
    Posted(String),
    Refused(String),
    Quit(String),
    End,
}

impl Script {
    /// Understands a file.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut script = Self {
            name: name.to_owned(),
            registration: Registration::Open,
            policy: Policy::default(),
            real_time: false,
            pure_only: false,
            real_only: false,
            wide: false,
            covers: Vec::new(),
            steps: Vec::new(),
        };
        for (number, line) in (1..).zip(text.lines()) {
            script.line(number, line.trim()).with_context(|| format!("{name}:{number}: {line}"))?;
        }
        ensure!(!script.steps.is_empty(), "{name}: nothing happens");
        Ok(script)
    }

    fn line(&mut self, number: usize, line: &str) -> Result<()> {
        if let Some(comment) = line.strip_prefix('#') {
            if let Some(rows) = comment.trim().strip_prefix("covers:") {
                self.covers.extend(rows.split_whitespace().map(str::to_owned));
            }
            return Ok(());
        }
        if let Some(mode) = line.strip_prefix("site ") {
            self.registration = mode.parse().map_err(anyhow::Error::msg)?;
            return Ok(());
        }
        if let Some(policy) = line.strip_prefix("policy ") {
            self.policy = serde_json::from_str(policy)?;
            let problems = self.policy.validate();
            ensure!(problems.is_empty(), "{problems:?}");
            return Ok(());
        }
        match line {
            "" => return Ok(()),
            "real time" => self.real_time = true,
            "pure only" => self.pure_only = true,
            "real only" => self.real_only = true,
            "several in flight" => self.wide = true,
            _ => self.steps.push((number, step(line)?)),
        }
        Ok(())
    }
}

fn step(line: &str) -> Result<Step> {
    if let Some(time) = line.strip_prefix('+') {
        return Ok(Step::Pass(duration(time)?));
    }
    if line == "the database refuses" {
        return Ok(Step::Refuse);
    }
    if let Some((name, value)) = line.strip_prefix("let ").and_then(|rest| rest.split_once(" = ")) {
        let text = String::from_utf8(data(value)?).context("a variable is text")?;
        return Ok(Step::Let { name: name.to_owned(), text });
    }
    if let Some(change) = line.strip_prefix("admin ") {
        return Ok(Step::Administer(change.to_owned()));
    }
    let end = line.find([' ', '>', '<']).context("who does what?")?;
    let (who, rest) = line.split_at(end);
    let act = if let Some(header) = rest.strip_prefix(">= ") {
        let (header, outcome) = outcome(header)?;
        Act::Sends { octets: Octets::Exact(header.to_owned()), outcome }
    } else if let Some(octets) = rest.strip_prefix(">~ ") {
        let (octets, outcome) = outcome(octets)?;
        Act::Sends { octets: Octets::Raw(data(octets)?), outcome }
    } else if let Some(frame) = rest.strip_prefix("> ") {
        let (frame, outcome) = outcome(frame)?;
        let (header, data) = json_and_data(frame)?;
        Act::Sends { octets: Octets::Frame { header, data }, outcome }
    } else if let Some(frame) = rest.strip_prefix("<< ") {
        let (frame, data) = json_and_data(frame)?;
        Act::Gets { frame, data, behind: true }
    } else if let Some(frame) = rest.strip_prefix("< ") {
        gets(frame)?
    } else {
        does(rest.trim())?
    };
    Ok(Step::Does { who: who.to_owned(), act })
}

fn gets(text: &str) -> Result<Act> {
    Ok(match text {
        "nothing" => Act::GetsNothing,
        "end" => Act::GetsEnd,
        "cut" => Act::GetsCut,
        _ => {
            if let Some(text) = text.strip_prefix("quit ") {
                return Ok(Act::GetsQuit(quoted(text)?));
            }
            let (frame, data) = json_and_data(text)?;
            Act::Gets { frame, data, behind: false }
        }
    })
}

fn does(text: &str) -> Result<Act> {
    let words: Vec<&str> = text.split(' ').collect();
    Ok(match words[..] {
        ["joins", "at", gateway] => Act::Joins { gateway: number(gateway)?, alias: None },
        ["joins", "at", gateway, "as", ..] => {
            let (_, alias) = text.split_once(" as ").context("as whom?")?;
            Act::Joins { gateway: number(gateway)?, alias: Some(quoted(alias)?) }
        }
        ["connects", "at", gateway] => Act::Connects { gateway: number(gateway)?, greets: false },
        ["connects", "at", gateway, "and", "greets"] => {
            Act::Connects { gateway: number(gateway)?, greets: true }
        }
        ["returns", "at", gateway] => Act::LogsIn { gateway: number(gateway)?, as_whom: None },
        ["logs", "in", "at", gateway, "as", uid, node] => {
            Act::LogsIn { gateway: number(gateway)?, as_whom: Some((uid.to_owned(), node.to_owned())) }
        }
        ["leaves"] => Act::Leaves,
        ["leaves", "device", device, "alone", "for", time] => {
            Act::LeavesAlone { device: device.parse()?, time: duration(time)? }
        }
        ["quits"] => Act::Quits,
        ["acks", "by", "hand"] => Act::AcksByHand,
        ["acks", id] => Act::Acks(id.to_owned()),
        ["stops", "reading"] => Act::StopsReading,
        _ => bail!("nobody knows how to do that"),
    })
}

/// What is behind ` -> `, if anything.
fn outcome(text: &str) -> Result<(&str, Option<Outcome>)> {
    let Some((request, outcome)) = text.rsplit_once(" -> ") else { return Ok((text, None)) };
    let outcome = match outcome.split_once(' ').unwrap_or((outcome, "")) {
        ("acked", "") => Outcome::Acked,
        ("end", "") => Outcome::End,
        ("posted", variable) => Outcome::Posted(variable.to_owned()),
        ("refused", text) => Outcome::Refused(quoted(text)?),
        ("quit", text) => Outcome::Quit(quoted(text)?),
        _ => bail!("no outcome is called {outcome}"),
    };
    Ok((request.trim_end(), Some(outcome)))
}

/// A JSON object, as it is written, and the data behind it.
fn json_and_data(text: &str) -> Result<(String, Vec<u8>)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    values.next().context("a JSON object is missing")?.context("this is no JSON")?;
    let (json, rest) = text.split_at(values.byte_offset());
    let rest = rest.trim();
    Ok((json.to_owned(), if rest.is_empty() { Vec::new() } else { data(rest)? }))
}

/// A text in quotes, perhaps `*` how often; or `hex:` and octets.
fn data(text: &str) -> Result<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("hex:") {
        ensure!(hex.len() % 2 == 0 && hex.is_ascii(), "half an octet");
        let octet = |place| Ok(u8::from_str_radix(&hex[place..place + 2], 16)?);
        return (0..hex.len()).step_by(2).map(octet).collect();
    }
    match text.rsplit_once("\"*") {
        Some((text, times)) => Ok(quoted(&format!("{text}\""))?.repeat(times.parse()?).into_bytes()),
        None => Ok(quoted(text)?.into_bytes()),
    }
}

fn quoted(text: &str) -> Result<String> {
    serde_json::from_str(text).with_context(|| format!("{text} is no text in quotes"))
}

/// What an admin sets of a group or of a member.
pub fn admin_change(text: &str) -> Result<AdminChange> {
    let value: Value = serde_json::from_str(text)?;
    let uid = |uid: &Value| Uid::parse(uid.as_str().unwrap_or_default()).context("this is no uid");
    if let Some(gid) = value["group"].as_str() {
        let mode = value["mode"].as_str().context("which mode?")?.parse().map_err(anyhow::Error::msg)?;
        let posters = value["posters"].as_array().into_iter().flatten().map(uid).collect::<Result<_>>()?;
        return Ok(AdminChange::GroupRule { gid: gid.to_owned(), rule: GroupRule { mode, posters } });
    }
    let away = match value["away"].as_str() {
        None => None,
        Some("") => Some(SetAway::Back),
        Some(text) => {
            let delegate = value.get("delegate").map(uid).transpose()?;
            Some(SetAway::Away { away: Away { text: text.to_owned(), until: None, delegate } })
        }
    };
    let receive_only = value["receive_only"].as_bool();
    Ok(AdminChange::MemberFlags { uid: uid(&value["member"])?, receive_only, away })
}

/// Gateways are counted from 1.
fn number(gateway: &str) -> Result<usize> {
    gateway.parse::<usize>()?.checked_sub(1).context("gateways are counted from 1")
}

fn duration(text: &str) -> Result<Duration> {
    let (number, unit) = text.split_at(text.find(|char: char| !char.is_ascii_digit()).context("no unit")?);
    let number = number.parse()?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "d" => Ok(Duration::from_hours(number * 24)),
        "min" => Ok(Duration::from_secs(number * 60)),
        _ => bail!("no unit is called {unit}"),
    }
}
