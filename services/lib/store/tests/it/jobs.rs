//! Jobs: taken once, taken over when their taker is silent, and ended by whoever holds them.

use std::time::Duration;

use tmtp_store::{Hold, JobEnd, JobState, NewJob, Progress, TakenJob};
use uuid::Uuid;

use crate::rig::{ENDED, LONG, Rig};

async fn ask(rig: &Rig, id: u128) {
    let mut tx = rig.store.admin().await.unwrap();
    let id = Uuid::from_u128(id);
    let new = NewJob { id, site: None, kind: "test", input: r#"{"a": 1}"#, created_by: None, sealed: None };
    assert_eq!(tx.create_job(&new).await.unwrap().unwrap().state, JobState::Queued);
    tx.commit().await.unwrap();
}

async fn take(rig: &Rig, lease_for: Duration) -> Option<TakenJob> {
    rig.store.take_job(&["test"], Uuid::new_v4(), lease_for).await.unwrap()
}

/// Goal: a job is one taker's at a time; whoever takes it over goes on where the first was, and the first notices;
/// method: a lease that ends at once.
#[tokio::test]
async fn taken_over() {
    let rig = Rig::new().await;
    ask(&rig, 1).await;
    assert_eq!(rig.store.take_job(&["other"], Uuid::new_v4(), LONG).await.unwrap(), None);
    let first = take(&rig, LONG).await.unwrap();
    assert_eq!((first.attempts, first.input.as_str()), (1, r#"{"a": 1}"#));
    assert_eq!(take(&rig, LONG).await, None, "taken");
    let progress = Progress { done: 5, total: Some(9), position: Some("[3]".into()) };
    assert_eq!(rig.store.hold_job(&first, &progress, ENDED).await.unwrap(), Hold::Held);
    let second = take(&rig, LONG).await.unwrap();
    assert_eq!((second.attempts, second.done, second.position.as_deref()), (2, 5, Some("[3]")));
    assert_eq!(rig.store.hold_job(&first, &progress, LONG).await.unwrap(), Hold::Lost);
    rig.store.end_job(&first, &JobEnd::Done("{}".into())).await.unwrap();
    assert_eq!(
        rig.all().await.job(first.id).await.unwrap().unwrap().state,
        JobState::Running,
        "not the first's any more"
    );
    rig.store.end_job(&second, &JobEnd::Done(r#"{"b": 2}"#.into())).await.unwrap();
    let ended = rig.all().await.job(first.id).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.result.as_deref(), ended.total),
        (JobState::Done, Some(r#"{"b": 2}"#), Some(9))
    );
    assert_eq!(take(&rig, LONG).await, None, "done");
}

/// Goal: whoever runs a job learns that it is not wanted, one that waits ends at once, and one that was given back comes
/// again when its time has come; method: each once.
#[tokio::test]
async fn cancelled_and_returned() {
    let rig = Rig::new().await;
    let cancel = async |id| {
        let mut tx = rig.store.admin().await.unwrap();
        let job = tx.cancel_job(id).await.unwrap();
        tx.commit().await.unwrap();
        job.map(|job| job.state)
    };
    ask(&rig, 1).await;
    let taken = take(&rig, LONG).await.unwrap();
    rig.store.return_job(&taken, LONG).await.unwrap();
    assert_eq!(take(&rig, LONG).await, None, "not yet");
    assert_eq!(cancel(taken.id).await, Some(JobState::Cancelled));
    assert_eq!(cancel(taken.id).await, None);

    ask(&rig, 2).await;
    let taken = take(&rig, LONG).await.unwrap();
    rig.store.return_job(&taken, ENDED).await.unwrap();
    let taken = take(&rig, LONG).await.unwrap();
    assert_eq!(cancel(taken.id).await, Some(JobState::Running));
    assert_eq!(rig.store.hold_job(&taken, &Progress::default(), LONG).await.unwrap(), Hold::Cancelling);
    rig.store.end_job(&taken, &JobEnd::Cancelled).await.unwrap();
    assert_eq!(rig.all().await.job(taken.id).await.unwrap().unwrap().state, JobState::Cancelled);
}
