//! Escapes foreign text for a terminal: names in the kernel, the output of other programs, the contents of files.
//!
//! All output passes through this file, because a terminal obeys control characters. clippy.toml forbids other ways to print.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::OnceLock;

/// Whether a terminal could obey a character instead of showing it.
///
/// These are the control characters (C0, DEL and C1), line separators, and characters that change the direction of text
/// (Unicode Standard Annex 9, 2.).
#[must_use]
pub fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces active characters, except those in `kept`, by the escapes that bash reads in `$'…'`.
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

/// Escapes all active characters, so the text is one line.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, &[])
}

/// Converts bytes to text. Only bytes that are not UTF-8 are escaped; active characters are left to [`escape`].
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

/// Escapes active characters in the strings of a JSON document (RFC 8259, 7.).
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

/// The bash escape of a byte.
fn byte(byte: u8) -> String {
    format!("\\x{byte:02x}")
}

/// The escape of a character of Unicode's first plane, in bash and in JSON.
fn unicode(character: char) -> String {
    format!("\\u{:04x}", u32::from(character))
}

/// The prefix of our own styles: a random number, so foreign text cannot contain the prefix.
fn style_prefix() -> &'static str {
    static PREFIX: OnceLock<String> = OnceLock::new();
    PREFIX.get_or_init(|| format!("\x1b[{};", RandomState::new().hash_one(())))
}

/// Adds a style to a text (console_codes(4), `ESC [ … m`). [`print`] does not escape the style.
#[must_use]
pub fn styled(text: &str, style: &str) -> String {
    let prefix = style_prefix();
    format!("{prefix}{style}m{text}{prefix}0m")
}

/// Escapes a text for a terminal, except for our own styles and the characters in `kept`.
fn with_styles(text: &str, kept: &[char]) -> String {
    let mut pieces = text.split(style_prefix());
    let mut shown = escape(pieces.next().unwrap_or_default(), kept).into_owned();
    for piece in pieces {
        let (style, rest) = piece.split_once('m').unwrap_or((piece, ""));
        shown.extend(["\x1b[", style, "m", &escape(rest, kept)]);
    }
    shown
}

/// Escapes all active characters of a table cell. Our own styles are kept for [`print`].
#[must_use]
pub fn cell(text: &str) -> String {
    text.split(style_prefix()).map(line).collect::<Vec<_>>().join(style_prefix())
}

/// Prints lines on stdout or stderr. A closed stdout is not an error.
pub fn print(mut stream: impl io::Write, lines: &str) {
    _ = writeln!(stream, "{}", with_styles(lines, &['\n', '\t']));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_characters_are_escaped_and_all_others_are_unchanged() {
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
    fn bytes_that_are_not_utf8_are_escaped() {
        assert_eq!(text(b"a\x9bb\xff\xc3\xa9"), "a\\x9bb\\xff\u{e9}");
    }

    #[test]
    fn json_keeps_the_value_and_has_no_active_character() {
        let value = "a\x1b\u{9b}\x7f\u{202e}\n\"\\é";
        let document = json(&serde_json::to_string_pretty(&[value]).unwrap());
        assert!(document.chars().all(|character| character == '\n' || !is_active(character)), "{document}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&document).unwrap(), [value]);
    }

    #[test]
    fn only_our_own_styles_are_not_escaped() {
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
