//! One connection per node (invariant I6).

use std::time::Duration;

use anyhow::Result;
use tmtp_client::Error;
use tmtp_e2e::{Setup, WAIT};
use tmtp_testkit::eventually;

use crate::sites::assert_quit;

/// Races for one node.
const RACES: usize = 8;
/// Logins that take part in each.
const RACERS: usize = 6;

/// Goal: the first connection of a node keeps it, and when it is gone the next one gets in. Method: a second login at
/// either gateway is refused while the first connection goes on; after a quit the next one works at once, after a lost
/// connection soon.
#[tokio::test]
async fn a_node_connects_once() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let account = ann.account().clone();
    for number in [0, 1, 1, 0] {
        assert_quit(cluster.gateway(number).try_login(&account).await, "node already connected");
        ann.expect_nothing_else().await?;
    }
    ann.quit().await?;
    // Who sees the quit frame can log in again at once.
    let mut ann = cluster.gateway(1).login("ann", &account).await?;
    ann.take_login_notice().await?;
    drop(ann);
    let login = async || cluster.gateway(0).try_login(&account).await.ok();
    eventually(WAIT, "the node to be free", login).await?;
    cluster.passed()
}

/// Goal: of logins at the same time exactly one wins. Method: six at once over both gateways, several times; the losers
/// all hear why, and the winner quits before the next race.
#[tokio::test]
async fn one_of_many_logins_wins() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let ann = cluster.gateway(0).connect("ann").await?;
    let account = ann.account().clone();
    ann.quit().await?;
    for _ in 0..RACES {
        let gateways = [cluster.gateway(0), cluster.gateway(1)];
        let logins = (0..RACERS).map(|racer| gateways[racer % 2].try_login(&account));
        let mut winners = Vec::new();
        for outcome in futures::future::join_all(logins).await {
            match outcome {
                Ok(client) => winners.push(client),
                Err(Error::Quit(text)) => assert_eq!(text, "node already connected"),
                Err(other) => return Err(other.into()),
            }
        }
        assert_eq!(winners.len(), 1, "winners of a race");
        for winner in winners {
            winner.quit().await?;
        }
    }
    cluster.passed()
}

/// Goal: when a gateway and a worker are lost together, a client whose login waits for the gateway's lease to end at the
/// new owner of its shard is answered before its time is over. Method: the settings that programs have by themselves.
#[test]
fn leases_leave_time_for_a_login() {
    let (gateway, worker) = (tmtp_gateway::Config::default(), tmtp_worker::Config::default());
    assert!(gateway.limits.lease <= worker.shards.gateway_lease, "workers wait for a gateway's whole lease");
    let left = gateway.limits.login_within.saturating_sub(worker.shards.gateway_lease);
    assert!(left >= Duration::from_secs(2), "{left:?} are left");
}
