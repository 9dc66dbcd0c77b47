//! Clients that do anything, at a cluster that does not work as it should: commands wait, events get lost, and all limits
//! are small. Whatever happens, no session holds more than it may, and every request is answered exactly once.

use arbitrary::Arbitrary;
use tmtp_domain::Registration;

use super::session::{Act, World, end};
use crate::Pure;

/// Messages in flight to a node.
const WINDOW: usize = 2;
/// The largest frame: header, and the data that a client sends here.
const FRAME: usize = 2 * 65_535 + 1_000;
/// Commands that are no requests of the client: acks that are under way and that wait, an opening, a goodbye.
const OTHERS: usize = 4;

/// What happens.
#[derive(Debug, Arbitrary)]
enum Step {
    Acts(Act),
    /// The home takes no commands from now on, or takes those that have gathered.
    Holds(bool),
    /// What the home says is not heard from now on, or again.
    Loses(bool),
}

/// Lets happen what these octets stand for.
///
/// # Panics
/// When something is wrong.
pub fn run(octets: &[u8]) {
    let Some(steps) = super::read::<Vec<Step>>(octets) else { return };
    let mut pure = Pure::with_window("Anywhere", Registration::Open, WINDOW, 4 << 10);
    pure.limits.unanswered_max = 4;
    pure.limits.unanswered_octets_max = 8 << 10;
    pure.limits.replies_octets_max = 2 << 10;
    let mut world = World::default();
    let mut clients = Vec::new();
    for step in steps.iter().take(200) {
        match step {
            Step::Acts(act) => world.act(&mut pure, &mut clients, act),
            Step::Holds(holds) => pure.hold(*holds),
            Step::Loses(loses) => pure.lose(*loses),
        }
        for client in &mut clients {
            world.look(&mut pure, client);
            check(&pure, client.link);
        }
    }
    pure.hold(false);
    pure.lose(false);
    end(&mut pure, &mut world, &mut clients);
}

fn check(pure: &Pure, link: usize) {
    let (held, limits) = (pure.held(link), &pure.limits);
    let most = limits.unanswered_max + OTHERS;
    assert!(held.commands <= most, "{} commands", held.commands);
    let most = limits.unanswered_octets_max + FRAME;
    assert!(held.command_octets <= most, "{} octets of commands", held.command_octets);
    // What is asked for already is answered, too.
    let most = limits.replies_octets_max + (limits.unanswered_max + 1) * FRAME / 2;
    assert!(held.reply_octets <= most, "{} octets of replies", held.reply_octets);
    // As many urgent ones may have come while those are to come again.
    assert!(held.in_flight <= 2 * WINDOW, "{} messages in flight", held.in_flight);
}
