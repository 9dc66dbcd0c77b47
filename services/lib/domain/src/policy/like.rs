//! Names that look like each other (Unicode's confusable skeletons, UTS 39).

use unicode_security::skeleton;

/// Characters of a look: some letters look like many, and what is longer than that looks alike.
const LOOK_MAX: usize = 256;

/// What a name looks like, in two ways: an "I" may be taken for an "i", which is the same letter, or for an "l", which
/// looks the same. Names that have one of them in common look alike.
pub fn skeletons(name: &str) -> [String; 2] {
    let words = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let of_small: String = skeleton(&words.to_lowercase()).take(LOOK_MAX).collect();
    let first: String = skeleton(&words).collect();
    [of_small, skeleton(&first.to_lowercase()).take(LOOK_MAX).collect()]
}

/// Whether two names look alike.
pub fn is_like(a: &str, b: &str) -> bool {
    let others = skeletons(b);
    skeletons(a).iter().any(|one| others.contains(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: imitations are found, other names are not; method: letters of other scripts, digits, case, blanks.
    #[test]
    fn imitations() {
        for (name, imitation) in [
            ("paypal", "раураl"),
            ("paypal", "PAYPAL"),
            ("paypal", "paypaI"),
            ("Ann Bell", " ann  bell"),
            ("modern", "rnodern"),
            ("Ivan Petrov", "lvan Petrov"),
        ] {
            assert!(is_like(name, imitation), "{name} {imitation}");
            assert!(is_like(imitation, name), "{imitation} {name}");
        }
        assert!(!is_like("Ann Bell", "Ann Ball"));
        assert!(!is_like("paypal", "paypal2"));
    }
}
