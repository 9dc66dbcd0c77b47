//! How much sites are used.

use tmtp_domain::SiteId;

use crate::rig::{ANN, BEN, G1, HERE, LIMITS, Rig, login, post};

fn counted(rig: &Rig) -> Vec<(SiteId, i64)> {
    rig.home.spill(rig.now).unwrap().usage.iter().map(|day| (day.site, day.messages)).collect()
}

/// Goal: posts are counted once, whoever takes the shard over, and notices are not; what a spill has written is not
/// counted again; method: a login, two posts, a new owner of the journal, and a spill.
#[test]
fn posts_are_counted_once() {
    let mut rig = Rig::new();
    rig.log_in((G1, 1), ANN, 1);
    assert!(counted(&rig).is_empty(), "a login is no post");
    rig.run((G1, 1), post(1, &[BEN])).posted();
    rig.run((G1, 1), post(1, &[BEN])).posted();
    assert_eq!(counted(&rig), [(HERE, 1)], "the second is a repetition");
    rig.run((G1, 1), post(2, &[BEN])).posted();
    rig.run((G1, 2), login(BEN, 1));
    assert_eq!(counted(&rig), [(HERE, 2)]);
    let next = Rig::recovered(&rig.journal(), LIMITS, &[]);
    assert_eq!(counted(&next), [(HERE, 2)]);
    rig.spill();
    assert!(counted(&rig).is_empty());
}
