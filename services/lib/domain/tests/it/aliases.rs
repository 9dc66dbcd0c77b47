//! Properties of the alias rule: length in octets first, then the characters, and the text kept as it came.

use proptest::char::range;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tmtp_domain::{Alias, Refusal};

/// Characters that are printable in every version of Unicode: letters, marks, numbers, punctuation, symbols, the blank.
fn printable() -> impl Strategy<Value = char> {
    prop_oneof![
        range(' ', '~'),
        range('¡', '¬'),
        range('®', 'ͷ'),
        range('Ѐ', 'ԯ'),
        range('ぁ', 'ゖ'),
        range('一', '鿆'),
        range('가', '힣'),
        range('∀', '⋿'),
        range('😀', '🙏')
    ]
}

/// Characters that hide, move others or mean nothing: controls, formats, other blanks and line ends, private use,
/// what is never assigned, and the replacement character.
fn unprintable() -> impl Strategy<Value = char> {
    prop_oneof![
        range('\0', '\u{1f}'),
        range('\u{7f}', '\u{a0}'),
        Just('\u{ad}'),
        range('\u{2000}', '\u{200f}'),
        range('\u{2028}', '\u{202f}'),
        range('\u{205f}', '\u{2064}'),
        Just('\u{3000}'),
        range('\u{e000}', '\u{f8ff}'),
        range('\u{fdd0}', '\u{fdef}'),
        Just('\u{feff}'),
        range('\u{fffd}', '\u{ffff}'),
        range('\u{e0020}', '\u{e007f}'),
        range('\u{f0000}', '\u{10ffff}'),
    ]
}

fn text(least: usize, most: usize) -> impl Strategy<Value = String> {
    vec(printable(), least..=most).prop_map(String::from_iter)
}

proptest! {
    /// Goal: a printable text of 8 to 255 octets is an alias, unchanged; others are refused with the right error.
    /// Method: printable texts of all lengths around the bounds.
    #[test]
    fn length_is_all_that_matters_for_printable_texts(text in prop_oneof![text(0, 12), text(60, 270)]) {
        let wanted = match text.len() {
            0..8 => Err(Refusal::AliasShort),
            8..=255 => Ok(text.clone()),
            _ => Err(Refusal::AliasInvalid(text.clone())),
        };
        prop_assert_eq!(Alias::parse(&text).map(|alias| alias.as_str().to_owned()), wanted);
    }

    /// Goal: one bad character anywhere is enough. Method: put one into a text that would be fine.
    #[test]
    fn one_unprintable_character_spoils_it(text in text(8, 40), bad in unprintable(), place: Index) {
        let mut characters: Vec<char> = text.chars().collect();
        characters.insert(place.index(characters.len() + 1), bad);
        let text = String::from_iter(characters);
        prop_assert_eq!(Alias::parse(&text), Err(Refusal::AliasInvalid(text)));
    }

    /// Goal: length is checked before everything else, and errors name the text as it came. Method: any text.
    #[test]
    fn any_text_is_judged(text in any::<String>()) {
        match Alias::parse(&text) {
            Ok(alias) => {
                prop_assert!((8..=255).contains(&text.len()));
                prop_assert_eq!(alias.as_str(), text);
            }
            Err(refusal) if text.len() < 8 => prop_assert_eq!(refusal, Refusal::AliasShort),
            Err(refusal) => prop_assert_eq!(refusal, Refusal::AliasInvalid(text)),
        }
    }

    /// Goal: neither case nor spelling is folded. Method: an alias equals another exactly when the texts do.
    #[test]
    fn aliases_are_compared_as_they_are(stem in "[a-zA-Zéà]{8,9}", other in "[a-zA-Zéà]{8,9}") {
        let alias = |text: &str| Alias::parse(text).unwrap();
        prop_assert_eq!(alias(&stem) == alias(&other), stem == other);
        for changed in [stem.to_uppercase(), stem.to_lowercase(), format!(" {stem}"), format!("{stem} "), stem.replace('é', "e\u{301}")] {
            prop_assert_eq!(alias(&stem) == alias(&changed), stem == changed);
        }
    }
}

/// Goal: the ASCII part of the rule leaves nothing to chance. Method: every octet below 128 within a fine text.
#[test]
fn ascii_is_printable_from_blank_to_tilde() {
    for c in '\0'..='\u{7f}' {
        let fine = (' '..='~').contains(&c);
        assert_eq!(Alias::parse(&format!("long{c}enough")).is_ok(), fine, "{c:?}");
    }
}
