//! Compares the encoding with the stored octets of `testdata/`, both ways, and makes sure that none is missing.
//! It must never change a file that exists; see `testdata/README.md` for how new ones come about.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tmtp_contract::{
    AdminAnswer, AdminChange, AdminOutcome, AdminRefusal, Answer, Body, Command, Content, Effect, Ended,
    Event, LoginRefusal, Message, StepKind, VERSION, Versioned,
};
use tmtp_domain::{GroupAct, GroupEdit, OhiAct, RecipientKind};

use crate::cases::{self, Case, Promise, Value};
use crate::octets;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn file(case: &Case) -> PathBuf {
    testdata().join(case.path).with_extension("hex")
}

/// Writes the file of a new case. Fails when there is one.
fn write_new(case: &Case) {
    let octets = case.value.encode();
    let text = if case.value.is_entry() {
        octets::file_of_entry(case.about, &octets)
    } else {
        octets::file_of_receipts(case.about, &octets)
    };
    fs::create_dir_all(file(case).parent().unwrap()).unwrap();
    File::create_new(file(case)).unwrap().write_all(text.as_bytes()).unwrap();
}

fn stored(case: &Case) -> Vec<u8> {
    let wanted = std::env::var("TMTP_GOLDEN").is_ok_and(|value| value == "write");
    if wanted && case.promise == Promise::ReadsAndWrites && !file(case).exists() {
        write_new(case);
    }
    let text = fs::read_to_string(file(case))
        .unwrap_or_else(|error| panic!("{}: {error}; see testdata/README.md", case.path));
    octets::octets_of_file(&text)
}

/// Goal: what a release has written keeps its meaning, and is what this release writes. Method: decode the stored
/// octets of each case and compare with its value; encode the value and compare with the octets.
#[test]
fn golden_octets_and_values_agree() {
    for case in cases::all() {
        let octets = stored(&case);
        let decoded =
            case.value.decode_alike(&octets).unwrap_or_else(|error| panic!("{}: {error:?}", case.path));
        assert_eq!(decoded, case.value, "{} decodes to something else", case.path);
        if case.promise == Promise::ReadsAndWrites {
            assert_eq!(
                case.value.encode(),
                octets,
                "{} is written otherwise; see testdata/README.md",
                case.path
            );
        }
    }
}

fn files_below(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "hex") {
            found.insert(path);
        }
    }
}

/// Goal: no stored octets that nobody looks at, and no two cases for one file. Method: compare the folder with the
/// cases. (The other direction is `golden_octets_and_values_agree`.)
#[test]
fn golden_files_have_one_case_each() {
    let cases = cases::all();
    let named: BTreeSet<PathBuf> = cases.iter().map(file).collect();
    assert_eq!(named.len(), cases.len(), "two cases name one file");
    let mut found = BTreeSet::new();
    files_below(&testdata(), &mut found);
    let orphans: Vec<_> = found.difference(&named).collect();
    assert!(orphans.is_empty(), "no case reads {orphans:?}");
}

/// Goal: the cases of a version are in its folder. Method: compare each path with the version in the value.
#[test]
fn golden_folders_tell_the_version() {
    for case in cases::all() {
        let version = match &case.value {
            Value::Command(entry) => entry.version(),
            Value::Event(entry) => entry.version(),
            Value::Journal(entry) => entry.version(),
            Value::Message(record) => record.version(),
            Value::Trace(pack) => pack.version(),
            // Receipts carry no version; a new packing would be a new column.
            Value::Receipts(_) => 1,
        };
        assert_eq!(case.path.split('/').next(), Some(format!("v{version}").as_str()), "{}", case.path);
    }
}

/// An enum of the contract, with names for its variants.
trait Variants {
    const ENUM: &'static str;
    const ALL: &'static [&'static str];
    fn variant(&self) -> &'static str;
}

/// Names the variants. The `match` has no wildcard on purpose: a variant that is added to the contract stops the test
/// from compiling; once it is named here, the test wants a golden case of it.
macro_rules! variants {
    ($enum:ident { $($variant:ident $(($($unnamed:tt)*))? $({ $($named:tt)* })?),+ }) => {
        impl Variants for $enum {
            const ENUM: &'static str = stringify!($enum);
            const ALL: &'static [&'static str] = &[$(stringify!($variant)),+];
            fn variant(&self) -> &'static str {
                match self {
                    $(Self::$variant $(($($unnamed)*))? $({ $($named)* })? => stringify!($variant)),+
                }
            }
        }
    };
}

variants!(Command {
    Register { .. }, Login { .. }, Attach(_), Detach, Present { .. }, NewAlias { .. }, NewNode { .. },
    Post { .. }, PostNotify { .. }, Ping { .. }, GroupInvite { .. }, GroupEdit { .. }, OhiEdit { .. }, Admin(_),
    Acks { .. }
});
variants!(AdminChange {
    SiteChanged, MemberStatus { .. }, Suspend { .. }, Online { .. }, Trace { .. }, DropQueue { .. }, RevokeNode { .. },
    AddAlias { .. }, DropAlias { .. }, Reserve { .. }, Release { .. }, Places { .. }, Decide { .. }, Erase { .. },
    DeleteGroup { .. }, GroupRule { .. }, MemberFlags { .. }, Disconnect { .. }
});
variants!(AdminAnswer { Done { .. }, Refused { .. } });
variants!(AdminOutcome { Site, Member { .. }, Changed, Online { .. }, Places { .. }, Trace { .. }, Closed { .. } });
variants!(AdminRefusal { NotFound, Conflict, Invalid, Reused, Internal });
variants!(GroupEdit { Join { .. }, Alias { .. }, Drop { .. } });
variants!(GroupAct { Invite, Join, Alias, Drop });
variants!(OhiAct { Init, Add, Drop });
variants!(RecipientKind { User, Group, GroupOthers });
variants!(Event {
    Answer { .. }, Deliver { .. }, Ohi { .. }, Shows { .. }, Close { .. }, Lost { .. }, Probe { .. }, Rehome { .. },
    Admin { .. }
});
variants!(Answer {
    Registered { .. }, Waiting { .. }, LoggedIn { .. }, NotLoggedIn(_), Attached, Done, Posted { .. }, Refused(_)
});
variants!(LoginRefusal {
    Failed,
    AlreadyConnected,
    RegistrationClosed,
    Invite,
    AlreadyMember,
    Alias,
    RegistrationFailed
});
variants!(Effect { Queued { .. }, Acked { .. }, Copied { .. }, Dropped { .. }, Receipt(_) });
variants!(StepKind { Accepted, Committed, Queued, Sent, Acked, Expired, Returned });
variants!(Ended { Expired, Returned });
variants!(Content {
    Delivery { .. }, Login, NewAlias { .. }, NewNode { .. }, Notify { .. }, Ping { .. }, Invite { .. },
    Member { .. }, OhiEdit { .. }
});
variants!(Body { Empty, Inline(_), Stored(_) });

/// Which variants the cases have, and in what.
#[derive(Default)]
struct Seen(BTreeSet<(&'static str, &'static str, &'static str)>);

impl Seen {
    fn note<T: Variants>(&mut self, within: &'static str, value: &T) {
        self.0.insert((within, T::ENUM, value.variant()));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Command(entry) => {
                entry.commands.iter().for_each(|envelope| self.command(&envelope.command));
            }
            Value::Event(entry) => entry.events.iter().for_each(|event| self.event(event)),
            Value::Journal(entry) => {
                for effect in &entry.effects {
                    self.note("journal", effect);
                    if let Effect::Acked { ended: Some(ended), .. } = effect {
                        self.note("journal", ended);
                    }
                }
            }
            Value::Message(record) => self.message(&record.message),
            Value::Receipts(_) => {}
            Value::Trace(pack) => pack.steps().for_each(|(_, step)| self.note("trace", &step.kind)),
        }
    }

    fn command(&mut self, command: &Command) {
        self.note("command", command);
        match command {
            Command::Post { recipients, body, .. } => {
                for recipient in recipients {
                    self.note("command", &recipient.kind);
                }
                self.note("command", body);
            }
            Command::GroupEdit { edit, .. } => self.note("command", edit),
            Command::OhiEdit { act, .. } => self.note("command", act),
            Command::Admin(request) => self.note("command", &request.change),
            _ => {}
        }
    }

    fn event(&mut self, event: &Event) {
        self.note("event", event);
        if let Event::Answer { answer, .. } = event {
            self.note("event", answer);
            if let Answer::NotLoggedIn(refusal) = answer {
                self.note("event", refusal);
            }
        }
        if let Event::Admin { answer, .. } = event {
            self.note("event", answer);
            match answer {
                AdminAnswer::Done { outcome } => self.note("event", outcome),
                AdminAnswer::Refused { reason, .. } => self.note("event", reason),
            }
        }
    }

    fn message(&mut self, message: &Message) {
        self.note("message", &message.content);
        self.note("message", &message.body);
        match &message.content {
            Content::Member { act, .. } => self.note("message", act),
            Content::OhiEdit { act, .. } => self.note("message", act),
            _ => {}
        }
    }

    fn assert_all<T: Variants>(&self, within: &'static str) {
        for variant in T::ALL {
            let seen = self.0.contains(&(within, T::ENUM, variant));
            assert!(seen, "no golden case of {}::{variant} in a {within}", T::ENUM);
        }
    }
}

/// Goal: nothing is sent whose octets are not pinned. Method: collect the variants of all cases that this release
/// writes in its own version, and look for each variant there is.
#[test]
fn golden_cases_cover_every_variant() {
    let mut seen = Seen::default();
    let folder = format!("v{VERSION}/");
    cases::all()
        .iter()
        .filter(|case| case.promise == Promise::ReadsAndWrites && case.path.starts_with(&folder))
        .for_each(|case| seen.value(&case.value));
    seen.assert_all::<Command>("command");
    seen.assert_all::<RecipientKind>("command");
    seen.assert_all::<Body>("command");
    seen.assert_all::<GroupEdit>("command");
    seen.assert_all::<OhiAct>("command");
    seen.assert_all::<Event>("event");
    seen.assert_all::<Answer>("event");
    seen.assert_all::<LoginRefusal>("event");
    seen.assert_all::<AdminChange>("command");
    seen.assert_all::<AdminAnswer>("event");
    seen.assert_all::<AdminOutcome>("event");
    seen.assert_all::<AdminRefusal>("event");
    seen.assert_all::<Effect>("journal");
    seen.assert_all::<Ended>("journal");
    seen.assert_all::<StepKind>("trace");
    seen.assert_all::<Content>("message");
    seen.assert_all::<GroupAct>("message");
    seen.assert_all::<Body>("message");
}
