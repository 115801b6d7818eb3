//! In comes text that anybody may have put on the wire, out goes text that a terminal prints and does not obey.
//!
//! A backslash stands as it is: the form is for eyes, and the exact octets are in the JSON report.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with every character that acts instead of being seen in the form `\xNN` or `\u{…}`.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut seen = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        // A String takes whatever is written to it, so the results say nothing.
        let _ = match character {
            _ if !acts(character) => seen.write_char(character),
            '\u{0}'..='\u{7f}' => write!(seen, "\\x{:02x}", u32::from(character)),
            _ => write!(seen, "\\u{{{:x}}}", u32::from(character)),
        };
    }
    Cow::Owned(seen)
}

/// Whether a terminal acts on the character, or shows nothing for it: the controls C0, DEL and C1 (ECMA-48), the
/// separators of lines, the marks that turn the direction of text (UAX #9), the invisible and the tag characters.
pub(super) const fn acts(character: char) -> bool {
    matches!(character,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        assert_eq!(text("GET /\u{1b}[2J\r\n"), r"GET /\x1b[2J\x0d\x0a");
        assert_eq!(text("\u{9b}31m\u{7f}"), r"\u{9b}31m\x7f");
        assert_eq!(text("moc.\u{202e}live\u{2069}"), r"moc.\u{202e}live\u{2069}");
        assert_eq!(text("/größe/日本"), "/größe/日本");
    }

    proptest! {
        #[test]
        fn no_octets_leave_a_control_behind(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let seen = text(&String::from_utf8_lossy(&input)).into_owned();
            prop_assert!(!seen.bytes().any(|octet| octet < 0x20 || octet == 0x7f));
            prop_assert!(!seen.chars().any(|character| character.is_control() || acts(character)));
        }

        #[test]
        fn what_is_escaped_once_stays(input in any::<String>()) {
            let once = text(&input).into_owned();
            prop_assert_eq!(text(&once).into_owned(), once.clone());
        }
    }
}
