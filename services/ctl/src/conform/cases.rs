//! The cases, each with the section of PROTOCOL.md that it checks. A case makes its own users, so that it can run beside
//! any other and alone. It must never check more than its name says.

mod accounts;
mod aliases;
mod fields;
mod framing;
mod groups;
mod headers;
mod limits;
mod pings;
mod posts;
mod presence;
mod queues;
mod recipients;
mod states;

use std::pin::Pin;

use super::link::Result;
use super::world::World;

type Running = Pin<Box<dyn Future<Output = Result<String>> + Send>>;

/// Something that the specification says, and how to see whether it is so.
pub(super) struct Case {
    /// Of PROTOCOL.md.
    pub(super) section: u8,
    /// What is checked.
    pub(super) name: String,
    /// Takes half a minute or more.
    pub(super) slow: bool,
    /// The older server is different on purpose of ours.
    pub(super) differs: bool,
    /// Needs no user.
    pub(super) anonymous: bool,
    run: Box<dyn Fn(World) -> Running + Send + Sync>,
}

impl Case {
    pub(super) fn run(&self, world: World) -> Running {
        (self.run)(world)
    }

    /// Its line in the list of cases.
    pub(super) fn listed(&self, number: &str) -> String {
        let differs = if self.differs { '*' } else { ' ' };
        format!("{number}{differs} {}{}", self.name, if self.slow { " (slow)" } else { "" })
    }

    fn slow(self) -> Self {
        Self { slow: true, ..self }
    }

    fn differs(self) -> Self {
        Self { differs: true, ..self }
    }

    fn anonymous(self) -> Self {
        Self { anonymous: true, ..self }
    }
}

/// What a case has seen, in words.
trait Sight {
    fn words(self) -> String;
}

impl Sight for () {
    fn words(self) -> String {
        String::new()
    }
}

impl Sight for String {
    fn words(self) -> String {
        self
    }
}

impl Sight for &'static str {
    fn words(self) -> String {
        self.to_owned()
    }
}

fn case<S: Sight, F: Future<Output = Result<S>> + Send + 'static>(
    section: u8,
    name: impl Into<String>,
    run: impl Fn(World) -> F + Send + Sync + 'static,
) -> Case {
    let run = move |world| -> Running {
        let running = run(world);
        Box::pin(async move { running.await.map(Sight::words) })
    };
    Case { section, name: name.into(), slow: false, differs: false, anonymous: false, run: Box::new(run) }
}

/// All cases, in the order of sections, each with its number.
pub(super) fn all() -> Vec<(String, Case)> {
    let mut cases: Vec<Case> = [
        framing::cases(),
        headers::cases(),
        fields::cases(),
        states::cases(),
        accounts::cases(),
        posts::cases(),
        pings::cases(),
        recipients::cases(),
        queues::cases(),
        presence::cases(),
        groups::cases(),
        aliases::cases(),
        limits::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    cases.sort_by_key(|case| case.section);
    let mut last = (0, 0);
    let numbered = cases.into_iter().map(|case| {
        last = if case.section == last.0 { (last.0, last.1 + 1) } else { (case.section, 1) };
        (format!("{:02}.{:02}", last.0, last.1), case)
    });
    numbered.collect()
}
