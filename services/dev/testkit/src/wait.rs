//! Waiting for a condition with a deadline. Nothing here waits for time to pass as such: each wait ends as
//! soon as its condition holds, and a wait that fails says what it was waiting for.

use std::time::{Duration, Instant};

use anyhow::bail;

/// The first pause between two looks; it doubles up to [`PAUSE_MAX`], so quick conditions cost little time
/// and slow ones little CPU.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Asks `probe` again and again until it answers `Some`, and gives that answer.
///
/// `what` names the condition in the error, as in "waited 5s for the queue to drain". A probe that hangs is
/// given up at the deadline too. Respects tokio's paused time.
///
/// # Errors
/// When `deadline` has passed without an answer.
pub async fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let looks = async {
        let mut pause = PAUSE_MIN;
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    };
    match tokio::time::timeout(deadline, looks).await {
        Ok(found) => Ok(found),
        Err(_) => bail!("waited {deadline:?} for {what}"),
    }
}

/// The same for code that is not async. A probe that finds the wait pointless may end it with an error.
///
/// # Errors
/// The probe's own error, or that `deadline` has passed without an answer.
pub fn wait_until<T>(
    deadline: Duration,
    what: &str,
    mut probe: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if start.elapsed() >= deadline {
            bail!("waited {deadline:?} for {what}");
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A condition that comes true is answered with its value: count the looks and stop at the third.
    #[tokio::test(start_paused = true)]
    async fn a_condition_that_comes_true_is_found() {
        let mut looks = 0;
        let found = eventually(Duration::from_secs(5), "three looks", async || {
            looks += 1;
            (looks == 3).then_some("here")
        })
        .await
        .unwrap();
        assert_eq!((found, looks), ("here", 3));
    }

    /// A condition that never comes true, or hangs, fails by name: paused time makes the deadline pass.
    #[tokio::test(start_paused = true)]
    async fn a_condition_that_never_comes_true_is_named() {
        let never = eventually(Duration::from_secs(5), "the moon", async || None::<()>).await;
        assert_eq!(never.unwrap_err().to_string(), "waited 5s for the moon");
        let hangs = eventually(Duration::from_secs(5), "a reply", std::future::pending::<Option<()>>).await;
        assert_eq!(hangs.unwrap_err().to_string(), "waited 5s for a reply");
    }

    /// The blocking wait ends with the probe's error at once: the deadline is far beyond the test's patience.
    #[test]
    fn a_pointless_wait_ends_early() {
        let start = Instant::now();
        let ended = wait_until(Duration::from_mins(10), "a corpse", || -> anyhow::Result<Option<()>> {
            bail!("it is dead")
        });
        assert_eq!(ended.unwrap_err().to_string(), "it is dead");
        assert!(start.elapsed() < Duration::from_mins(5));
    }
}
