//! What has come to a client of a transcript, sorted, until somebody asks for it.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};
use tmtp_wire::{Decoder, Item, Response};

/// A connection, and what came there and nobody has looked at.
pub struct Client {
    pub link: usize,
    pub decoder: Decoder<Response<'static>>,
    /// A frame whose data is coming.
    pub half: Option<(Vec<u8>, Vec<u8>)>,
    pub acks_all: bool,
    pub uid: Option<String>,
    pub informed: bool,
    pub acks: VecDeque<Frame>,
    pub messages: VecDeque<Frame>,
    pub notices: VecDeque<Frame>,
    pub answers: VecDeque<Frame>,
    pub fences: Vec<String>,
    /// Frames that came, and the number of the one that was got last.
    pub came: usize,
    pub last: usize,
    pub quit: Option<String>,
    pub end: Option<&'static str>,
}

pub struct Frame {
    /// Of those of its link.
    pub number: usize,
    pub header: Map<String, Value>,
    pub data: Vec<u8>,
}

impl Client {
    /// A connection on which nothing has come.
    pub fn new(link: usize) -> Self {
        Self {
            link,
            decoder: Decoder::new(),
            half: None,
            acks_all: true,
            uid: None,
            informed: false,
            acks: VecDeque::new(),
            messages: VecDeque::new(),
            notices: VecDeque::new(),
            answers: VecDeque::new(),
            fences: Vec::new(),
            came: 0,
            last: 0,
            quit: None,
            end: None,
        }
    }

    /// Frames that are complete now: header and data.
    pub fn cut(&mut self, octets: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut input = octets;
        let mut frames = Vec::new();
        while let Some(item) = self.decoder.next(&mut input).map_err(|error| anyhow::anyhow!("{error:?}"))? {
            match item {
                Item::Header { header, raw } => {
                    let mut again = Vec::new();
                    header.encode(&mut again)?;
                    ensure!(again[4..] == *raw, "{} is not spelled right", String::from_utf8_lossy(&raw));
                    self.half = Some((raw.into_owned(), Vec::new()));
                }
                Item::Data(piece) => self.half.as_mut().context("data without a header")?.1.extend(piece),
                Item::End => frames.push(self.half.take().context("the end of no frame")?),
            }
        }
        Ok(frames)
    }

    pub fn is_quiet(&self) -> bool {
        self.acks.is_empty()
            && self.messages.is_empty()
            && self.notices.is_empty()
            && self.answers.is_empty()
            && self.quit.is_none()
    }

    /// What came and nobody asked for.
    pub fn rest(&self) -> String {
        let queues = [&self.answers, &self.acks, &self.messages, &self.notices];
        let mut rest: Vec<String> = queues
            .into_iter()
            .flatten()
            .map(|frame| {
                let header = Value::Object(frame.header.clone()).to_string();
                format!("{} {:?}", header, String::from_utf8_lossy(&frame.data[..frame.data.len().min(100)]))
            })
            .collect();
        rest.extend(self.quit.iter().map(|text| format!("quit: {text}")));
        rest.extend(self.end.map(str::to_owned));
        if rest.is_empty() { "nothing".to_owned() } else { rest.join(" and ") }
    }
}
