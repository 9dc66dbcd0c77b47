//! What happens in the demonstration, step by step, and how it is told. It must never go on after a step that did
//! not come out right.

use std::{fmt, time::Instant};

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest;
use data_encoding::HEXLOWER;

use super::{
    Stage,
    device::{Device, Message},
};

/// The attachment: more than what travels with a command, and not a multiple of anything.
const ATTACHMENT: usize = (20 << 20) + 1;
/// What Ann writes while nobody is there.
const UNSEEN: [&str; 3] = ["Are you there?", "The plans are ready.", "They come with the next message."];

/// Tells a step: when it was, what it is about, and a sentence.
macro_rules! told {
    ($story:expr, $topic:expr, $($sentence:tt)*) => {
        $story.tell($topic, format_args!($($sentence)*))
    };
}
pub(super) use told;

/// Prints as it goes, with the time since the beginning.
pub(super) struct Story {
    began: Instant,
}

impl Story {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    pub(super) fn tell(&mut self, topic: &str, sentence: fmt::Arguments<'_>) {
        println!("[{:7.3} s] {topic:<9} {sentence}", self.began.elapsed().as_secs_f64());
    }
}

/// Uid and node id of a device that may be offline.
struct Known {
    uid: String,
    node: String,
}

/// The whole story.
pub(super) async fn tell(story: &mut Story, stage: &Stage) -> anyhow::Result<()> {
    let (mut ann, ann_uid, node) = Device::register("Ann", &stage.gateway(0), "Ann of the demo").await?;
    let ann_known = Known { uid: ann_uid.clone(), node };
    told!(story, "register", "Ann registers through gateway 1: uid {ann_uid}");
    let (mut phone, ben_uid, node) =
        Device::register("Ben's phone", &stage.gateway(1), "Ben of the demo").await?;
    told!(story, "register", "Ben registers through gateway 2, with his phone: uid {ben_uid}");
    let ben_phone = Known { uid: ben_uid.clone(), node };

    exchange(story, (&mut ann, &ann_uid), (&mut phone, &ben_uid)).await?;
    let (mut tablet, ben_tablet) = second_device(story, stage, &mut phone, &ben_uid).await?;
    both_devices(story, &mut ann, &mut phone, &mut tablet, &ben_uid).await?;

    phone.go_offline().await?;
    tablet.go_offline().await?;
    told!(story, "offline", "Ben's phone and tablet go offline");
    let mut sent = Sent::new();
    write_texts(story, &mut ann, &ben_uid, &mut sent).await?;
    if let Some(command) = &stage.while_away {
        told!(story, "accident", "while the messages wait: {command}");
        ann.forget();
        super::run(command).await?;
        ann = Device::log_in("Ann", &stage.gateway(0), &ann_known.uid, &ann_known.node).await?;
        ann.logins(1).await?;
        told!(story, "accident", "it is over; Ann is back, through gateway 1");
    }
    send_attachment(story, &mut ann, &ben_uid, &mut sent).await?;

    let mut phone = come_back(story, stage, "Ben's phone", 0, &ben_phone).await?;
    catch_up(story, &mut phone, "Ben's phone", &sent).await?;
    let mut tablet = come_back(story, stage, "Ben's tablet", 1, &ben_tablet).await?;
    catch_up(story, &mut tablet, "Ben's tablet", &sent).await?;
    phone.logins(2).await?;
    tablet.logins(2).await?;
    told!(story, "return", "both are told that both have logged in");
    phone.go_offline().await?;
    tablet.go_offline().await?;
    ann.go_offline().await
}

/// A question and its answer, across two gateways.
async fn exchange(
    story: &mut Story,
    (ann, ann_uid): (&mut Device, &str),
    (ben, ben_uid): (&mut Device, &str),
) -> anyhow::Result<()> {
    let sent = Instant::now();
    let receipt = ann.post(ben_uid, b"Hello Ben!").await?;
    let acked = sent.elapsed();
    let message = ben.message().await?;
    expect(&message, &receipt.msg_id, ann_uid, b"Hello Ben!")?;
    told!(
        story,
        "message",
        "Ann -> Ben \"Hello Ben!\": id {}, posted {}, stored in {acked:.1?}, there in {:.1?}",
        receipt.msg_id,
        receipt.posted,
        sent.elapsed()
    );
    let sent = Instant::now();
    let receipt = ben.post(ann_uid, b"Hello Ann!").await?;
    let message = ann.message().await?;
    expect(&message, &receipt.msg_id, ben_uid, b"Hello Ann!")?;
    told!(story, "message", "Ben -> Ann \"Hello Ann!\": id {}, there in {:.1?}", message.id, sent.elapsed());
    Ok(())
}

/// Ben's phone asks for a password for his tablet, which logs in with it through the other gateway.
async fn second_device(
    story: &mut Story,
    stage: &Stage,
    phone: &mut Device,
    ben_uid: &str,
) -> anyhow::Result<(Device, Known)> {
    let node = phone.add_node("tablet").await?;
    let mut tablet = Device::log_in("Ben's tablet", &stage.gateway(0), ben_uid, &node).await?;
    // A new device is told first of all who it is.
    let told = tablet.new_node("tablet").await?;
    ensure!(told == node, "expected the tablet to be told its own node id, not another one");
    phone.logins(1).await?;
    tablet.logins(1).await?;
    told!(story, "device", "Ben adds his tablet, which logs in through gateway 1");
    Ok((tablet, Known { uid: ben_uid.to_owned(), node }))
}

async fn both_devices(
    story: &mut Story,
    ann: &mut Device,
    phone: &mut Device,
    tablet: &mut Device,
    ben_uid: &str,
) -> anyhow::Result<()> {
    let receipt = ann.post(ben_uid, b"Nice tablet.").await?;
    for device in [phone, tablet] {
        let message = device.message().await?;
        ensure!(message.id == receipt.msg_id, "expected message {}, got {}", receipt.msg_id, message.id);
    }
    told!(story, "message", "Ann -> Ben \"Nice tablet.\": id {}, both devices have it", receipt.msg_id);
    Ok(())
}

/// What was sent: the message id, and the SHA-256 of the data.
type Sent = Vec<(String, String)>;

/// Three texts, while Ben is away.
async fn write_texts(
    story: &mut Story,
    ann: &mut Device,
    ben_uid: &str,
    sent: &mut Sent,
) -> anyhow::Result<()> {
    for text in UNSEEN {
        let receipt = ann.post(ben_uid, text.as_bytes()).await?;
        told!(story, "message", "Ann -> Ben \"{text}\": id {}, waits", receipt.msg_id);
        sent.push((receipt.msg_id, sha256(text.as_bytes())));
    }
    Ok(())
}

/// An attachment, while Ben is still away.
async fn send_attachment(
    story: &mut Story,
    ann: &mut Device,
    ben_uid: &str,
    sent: &mut Sent,
) -> anyhow::Result<()> {
    let mut attachment = vec![0; ATTACHMENT];
    getrandom::fill(&mut attachment).context("get random octets")?;
    let hash = sha256(&attachment);
    let began = Instant::now();
    let receipt = ann.post(ben_uid, &attachment).await?;
    told!(
        story,
        "message",
        "Ann -> Ben attachment of {ATTACHMENT} octets: id {}, stored in {:.1?}, SHA-256 {}…, waits",
        receipt.msg_id,
        began.elapsed(),
        &hash[..16]
    );
    sent.push((receipt.msg_id, hash));
    let in_order = sent.windows(2).all(|pair| pair[0].0 < pair[1].0);
    ensure!(in_order, "expected ids that increase, got {sent:?}");
    Ok(())
}

/// A device of Ben's logs in through the gateway that it did not use before.
async fn come_back(
    story: &mut Story,
    stage: &Stage,
    name: &'static str,
    gateway: usize,
    known: &Known,
) -> anyhow::Result<Device> {
    let device = Device::log_in(name, &stage.gateway(gateway), &known.uid, &known.node).await?;
    told!(story, "return", "{name} comes back, through gateway {} this time", gateway + 1);
    Ok(device)
}

/// Everything that was sent, in order, unharmed, once.
async fn catch_up(story: &mut Story, device: &mut Device, name: &str, sent: &Sent) -> anyhow::Result<()> {
    let began = Instant::now();
    for (id, hash) in sent {
        let message = device.message().await?;
        ensure!(message.id == *id, "{name}: expected message {id}, got {}", message.id);
        let seen = sha256(&message.data);
        ensure!(seen == *hash, "{name}: expected message {id} with SHA-256 {hash}, got {seen}");
    }
    let (_, hash) = sent.last().context("something was sent")?;
    told!(
        story,
        "return",
        "{name} receives all {} in order, in {:.1?}; the attachment's SHA-256 is {}…, too",
        sent.len(),
        began.elapsed(),
        &hash[..16]
    );
    Ok(())
}

fn expect(message: &Message, id: &str, from: &str, data: &[u8]) -> anyhow::Result<()> {
    ensure!(message.id == id, "expected message {id}, got {}", message.id);
    ensure!(message.from == from, "expected a message from {from}, got one from {}", message.from);
    ensure!(message.data == data, "expected {} octets, got {} others", data.len(), message.data.len());
    Ok(())
}

fn sha256(octets: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, octets).as_ref())
}
