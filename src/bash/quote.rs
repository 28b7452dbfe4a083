//! Quotes text for bash.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use crate::print::escape;

/// Quotes a text as one word for bash. Bash reads back the same bytes. Bytes that are not UTF-8, and characters that control a
/// terminal, are escaped in `$'…'`, so the result can be printed.
#[must_use]
pub fn quote(word: &OsStr) -> String {
    let mut quoted = String::new();
    let is_active = |character: char| escape::is_active(character) && !"\n\t".contains(character);
    let escape = |quoted: &mut String, bytes: &[u8]| {
        for byte in bytes {
            write!(quoted, "$'\\x{byte:02x}'").expect("writing to a String cannot fail");
        }
    };
    for chunk in word.as_bytes().utf8_chunks() {
        for piece in chunk.valid().split_inclusive(is_active) {
            let plain = piece.trim_end_matches(is_active);
            if !plain.is_empty() {
                quoted += &match shell_words::quote(plain) {
                    // shell_words quotes for sh, which has no brace expansion.
                    Cow::Borrowed(text) if text.contains('{') => format!("'{text}'").into(),
                    done => done,
                };
            }
            escape(&mut quoted, &piece.as_bytes()[plain.len()..]);
        }
        escape(&mut quoted, chunk.invalid());
    }
    if quoted.is_empty() { "''".to_owned() } else { quoted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_are_quoted_one_by_one() {
        assert_eq!(quote(OsStr::from_bytes(b"a b\xff\xfec")), "'a b'$'\\xff'$'\\xfe'c");
        assert_eq!(quote(OsStr::from_bytes(b"{a\xff,b}")), "'{a'$'\\xff',b}");
        assert_eq!(quote(OsStr::new("a\x1b b\u{9b}")), "a$'\\x1b'' b'$'\\xc2'$'\\x9b'");
    }

    #[test]
    fn text_that_bash_would_expand_is_quoted() {
        for (word, quoted) in [
            ("", "''"),
            ("plain-1.2", "plain-1.2"),
            ("{a,b}", "'{a,b}'"),
            ("~", "'~'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(quote(OsStr::new(word)), quoted);
        }
    }
}
