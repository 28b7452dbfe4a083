//! Text from outside the program, for a terminal: names that the kernel has, what other programs print, contents of files. All
//! that is printed passes through here, since a terminal obeys control characters: clippy.toml forbids other ways.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::OnceLock;

/// Whether a terminal could act on a character in place of showing it: control characters (C0, DEL and C1), line separators,
/// and those that change the direction of text (Unicode Standard Annex 9, 2.).
#[must_use]
pub fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text with escapes, as bash reads them in `$'…'`, in place of active characters but those in `kept`.
#[must_use]
pub fn escape<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let escaped = |character: char| is_active(character) && !kept.contains(&character);
    if !text.contains(escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            _ if !escaped(character) => shown.push(character),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            '\0'..='\x7f' => shown.push_str(&byte(character as u8)),
            _ => shown += &unicode(character),
        }
    }
    Cow::Owned(shown)
}

/// The same on one line.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, &[])
}

/// Bytes as text. Those that are not UTF-8 are escaped; all else stays, for [`escape`].
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&self::byte(*byte));
        }
    }
    text
}

/// A JSON document in which strings have no active character: JSON has an escape for each (RFC 8259, 7.).
#[must_use]
pub fn json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    for character in document.chars() {
        if is_active(character) && character != '\n' {
            shown += &unicode(character);
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A byte, as bash has it.
fn byte(byte: u8) -> String {
    format!("\\x{byte:02x}")
}

/// A character of Unicode's first plane, as bash and JSON have it.
fn unicode(character: char) -> String {
    format!("\\u{:04x}", u32::from(character))
}

/// What marks a style of ours: a number that no foreign text can know.
fn mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| format!("\x1b[{};", RandomState::new().hash_one(())))
}

/// Text in a style (console_codes(4), `ESC [ … m`), which [`print`] lets through.
#[must_use]
pub fn styled(text: &str, style: &str) -> String {
    let mark = mark();
    format!("{mark}{style}m{text}{mark}0m")
}

/// Text with its styles, and all else escaped but what is in `kept`.
fn shown(text: &str, kept: &[char]) -> String {
    let mut pieces = text.split(mark());
    let mut shown = escape(pieces.next().unwrap_or_default(), kept).into_owned();
    for piece in pieces {
        let (style, rest) = piece.split_once('m').unwrap_or((piece, ""));
        shown.extend(["\x1b[", style, "m", &escape(rest, kept)]);
    }
    shown
}

/// Text on one line, whose styles are left to [`print`].
#[must_use]
pub fn cell(text: &str) -> String {
    text.split(mark()).map(line).collect::<Vec<_>>().join(mark())
}

/// Prints lines on stdout or stderr. A closed stdout is not an error.
pub fn print(mut stream: impl io::Write, lines: &str) {
    _ = writeln!(stream, "{}", shown(lines, &['\n', '\t']));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_escaped_and_all_else_stays() {
        for (text, shown) in [
            ("plain é 日本 ●\\x1b", "plain é 日本 ●\\x1b"),
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("a\u{9b}31mb\x7f", "a\\u009b31mb\\x7f"),
            ("a\nb\tc\rd\0", "a\\nb\\tc\\rd\\x00"),
            ("\u{202e}abc\u{2066}\u{200f}\u{2028}", "\\u202eabc\\u2066\\u200f\\u2028"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert_eq!(escape("a\nb\x1b", &['\n']), "a\nb\\x1b");
    }

    #[test]
    fn bytes_that_are_no_utf8_are_escaped() {
        assert_eq!(text(b"a\x9bb\xff\xc3\xa9"), "a\\x9bb\\xff\u{e9}");
    }

    #[test]
    fn json_has_the_value_and_nothing_that_a_terminal_acts_on() {
        let value = "a\x1b\u{9b}\x7f\u{202e}\n\"\\é";
        let document = json(&serde_json::to_string_pretty(&[value]).unwrap());
        assert!(document.chars().all(|character| character == '\n' || !is_active(character)), "{document}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&document).unwrap(), [value]);
    }

    #[test]
    fn only_styles_of_ours_are_let_through() {
        let text = format!("{} \x1b[31mred\x1b[0m", styled("a\x1b[1mb\n", "32"));
        let mut printed = Vec::new();
        print(&mut printed, &text);
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(printed, "\x1b[32ma\\x1b[1mb\n\x1b[0m \\x1b[31mred\\x1b[0m\n");
        let mut printed = Vec::new();
        print(&mut printed, &cell(&styled("a\nb", "1;31")));
        assert_eq!(String::from_utf8(printed).unwrap(), "\x1b[1;31ma\\nb\x1b[0m\n");
    }
}
