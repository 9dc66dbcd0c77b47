//! One suite of cases for both back ends, and what each has to itself.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod outage;
mod postgres;
mod s3;
mod suite;

/// The same cases for each back end, each on a store of its own.
macro_rules! suite {
    ($backend:ident: $($case:ident),+ $(,)?) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $case() {
                    let rig = crate::$backend::Rig::new().await;
                    crate::suite::$case(&rig).await;
                }
            )+
        }
    };
}

/// Named again for each back end, so that a case that is missing here is an unused function.
mod both {
    macro_rules! both {
        ($($case:ident),+ $(,)?) => {
            suite!(postgres: $($case),+);
            suite!(s3: $($case),+);
        };
    }
    both!(
        bodies_of_all_lengths_come_back,
        chunks_may_be_written_again,
        missing_chunks_are_none,
        sites_stay_apart,
        removed_bodies_are_gone,
        discarded_uploads_are_gone,
        stale_looks_at_the_newest_chunk,
        stale_walks_in_pages,
        damaged_chunks_are_found,
        a_large_body_streams_through,
        uploads_do_not_mix,
        impossible_chunks_are_refused,
    );
}
