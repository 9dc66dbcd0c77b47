//! The books against every kind of server that they exist for: right, forgetful, repeating, reordering, lying.

use super::*;

const GRACE: Duration = Duration::from_secs(2);
const MS: Duration = Duration::from_millis(1);

/// Books with `posts` posts sent; the id of post n is 100 + n.
fn books(posts: u64) -> (Books, Instant) {
    let now = Instant::now();
    let mut books = Books::new(0, GRACE);
    for seq in 0..posts {
        assert_eq!(books.sent(now), seq);
    }
    (books, now)
}

/// Delivers and acknowledges in the order given.
fn deliver(books: &mut Books, seqs: &[u64], now: Instant) {
    for seq in seqs {
        books.delivered(*seq, 100 + seq, now);
        books.acknowledged(&[*seq], now);
    }
}

fn ack(books: &mut Books, seqs: &[u64], now: Instant) {
    for seq in seqs {
        books.acked(*seq, 100 + seq, now);
    }
}

#[track_caller]
fn expect(books: Books, wanted: Counts) -> Verdict {
    let verdict = books.close();
    assert_eq!(verdict.counts, wanted, "{:?}", verdict.described);
    verdict
}

/// Goal: a right server is not blamed, and times are since the post; method: three posts, acks before and after
/// their deliveries.
#[test]
fn all_is_well() {
    let (mut books, start) = books(3);
    assert_eq!(books.acked(0, 100, start + MS), Some(MS));
    assert_eq!(books.delivered(0, 100, start + 2 * MS), Some(2 * MS));
    deliver(&mut books, &[1, 2], start);
    assert!(!books.is_settled());
    ack(&mut books, &[1, 2], start);
    assert!(books.is_settled());
    assert_eq!(expect(books, Counts::default()).posted, 3);
}

/// Goal: what is acked has to arrive; method: leave out one delivery in the middle, and one at the end.
#[test]
fn lost() {
    let (mut books, start) = books(4);
    ack(&mut books, &[0, 1, 2, 3], start);
    deliver(&mut books, &[0, 2], start);
    expect(books, Counts { lost: 2, ..Counts::default() });
}

/// Goal: a post without ack is a problem, but is not called lost; method: two without, one of them delivered.
#[test]
fn unacked() {
    let (mut books, start) = books(2);
    deliver(&mut books, &[0], start);
    expect(books, Counts { acks: 2, ..Counts::default() });
}

/// Goal: order is checked among first deliveries; method: swap two.
#[test]
fn reordered() {
    let (mut books, start) = books(3);
    ack(&mut books, &[0, 1, 2], start);
    deliver(&mut books, &[0, 2, 1], start);
    expect(books, Counts { reordered: 1, ..Counts::default() });
}

/// Goal: ids increase; method: right order, ids that stand still.
#[test]
fn ids_have_to_increase() {
    let (mut books, start) = books(2);
    for seq in 0..2 {
        books.acked(seq, 100, start);
        books.delivered(seq, 100, start);
    }
    expect(books, Counts { reordered: 1, ..Counts::default() });
}

/// Goal: no message comes twice on one connection, whether acked or not; method: both.
#[test]
fn repeated_on_one_connection() {
    let (mut books, start) = books(2);
    ack(&mut books, &[0, 1], start);
    deliver(&mut books, &[0, 0], start);
    books.delivered(1, 101, start);
    books.delivered(1, 101, start);
    expect(books, Counts { repeated: 2, ..Counts::default() });
}

/// Goal: a connection that breaks excuses repeats of what was not acked, or just before, and of nothing else;
/// method: one of each, and a repeat of the repeat.
#[test]
fn repeated_after_a_break() {
    let (mut books, start) = books(3);
    ack(&mut books, &[0, 1, 2], start);
    deliver(&mut books, &[0], start);
    deliver(&mut books, &[1], start + GRACE);
    books.delivered(2, 102, start + GRACE);
    books.receiver_lost(start + GRACE + MS);
    deliver(&mut books, &[1, 2], start + 2 * GRACE);
    assert_eq!(books.counts, Counts::default());
    deliver(&mut books, &[0], start + 2 * GRACE);
    assert_eq!(books.counts.repeated, 1, "acked long before the break");
    deliver(&mut books, &[1], start + 2 * GRACE);
    assert_eq!(books.counts.repeated, 2, "acked on this connection, too");
    let verdict = expect(books, Counts { repeated: 2, ..Counts::default() });
    assert_eq!(verdict.redelivered, 2);
}

/// Goal: after a goodbye nothing comes again; method: repeat what was acked just before it.
#[test]
fn repeated_after_a_goodbye() {
    let (mut books, start) = books(2);
    ack(&mut books, &[0, 1], start);
    deliver(&mut books, &[0], start);
    books.receiver_lost(start);
    deliver(&mut books, &[1], start);
    books.receiver_quit();
    deliver(&mut books, &[0, 1], start);
    expect(books, Counts { repeated: 2, ..Counts::default() });
}

/// Goal: a message keeps its id; method: an ack, a delivery and a repeat under another one.
#[test]
fn ids_have_to_agree() {
    let (mut books, start) = books(2);
    books.acked(0, 100, start);
    books.delivered(0, 90, start);
    books.delivered(1, 101, start);
    books.receiver_lost(start);
    books.delivered(1, 99, start);
    books.acked(1, 101, start);
    expect(books, Counts { corrupted: 2, ..Counts::default() });
}

/// Goal: resent posts may be acked twice, but under one id, also when they are long settled; method: each case.
#[test]
fn acks_of_resent_posts() {
    let (mut books, start) = books(2);
    books.resent(0);
    books.resent(1);
    ack(&mut books, &[0, 0], start);
    deliver(&mut books, &[0, 1], start);
    ack(&mut books, &[1, 0, 1], start);
    assert_eq!(books.counts, Counts::default());
    assert_eq!(books.acked(1, 999, start), None);
    let verdict = expect(books, Counts { acks: 1, ..Counts::default() });
    assert_eq!(verdict.acks_repeated, 3);
}

/// Goal: who sent once gets one ack; method: two acks before the delivery, one after it, one for nothing.
#[test]
fn superfluous_acks() {
    let (mut books, start) = books(1);
    ack(&mut books, &[0, 0], start);
    deliver(&mut books, &[0], start);
    ack(&mut books, &[0, 7], start);
    expect(books, Counts { acks: 3, ..Counts::default() });
}

/// Goal: refusals are problems, unless the post is to be sent again; then it may come late; method: both.
#[test]
fn refused() {
    let (mut books, start) = books(3);
    books.refused(0, "no", true);
    books.refused(1, "no", false);
    ack(&mut books, &[2], start);
    deliver(&mut books, &[2], start);
    books.resent(0);
    ack(&mut books, &[0], start);
    books.delivered(0, 500, start);
    let verdict = expect(books, Counts { refused: 1, corrupted: 1, ..Counts::default() });
    assert_eq!(verdict.refused, 2, "and the id of post 0 is not the one that was acked");
}

/// Goal: what nobody posted is noticed; method: a number beyond the last post.
#[test]
fn never_posted() {
    let (mut books, start) = books(0);
    books.delivered(0, 100, start);
    expect(books, Counts { corrupted: 1, ..Counts::default() });
}

/// Goal: the books stay small however long the run; method: many settled posts, then look at what is held.
#[test]
fn memory_is_bounded() {
    let (mut books, start) = books(0);
    for n in 0_u32..10_000 {
        let now = start + n * MS;
        let seq = books.sent(now);
        deliver(&mut books, &[seq], now);
        ack(&mut books, &[seq], now);
    }
    assert!(books.under_way.is_empty() && books.held.is_empty() && books.settled_resent.is_empty());
    assert!(books.recent.len() <= 2_002, "{}", books.recent.len());
}
