//! Where a function ends, told without bash: its body is followed line by line, and whatever bash could read in another way
//! is given up. So each line has to close what it opens: quotes, parentheses, `${`, `[[`. Then it is certain whether a `{` or
//! `}` is a word of a command or begins or ends a group.

/// What opens a construct whose rest does not follow these rules.
const STRANGE: [&str; 6] = ["case", "esac", "coproc", "function", "select", "time"];

/// After these words comes a command.
const LEADING: [&str; 9] = ["if", "then", "elif", "else", "while", "until", "do", "!", "{"];

/// Goes on to behind the line that ends a function.
pub(super) fn skip<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<()> {
    let mut depth = 0;
    loop {
        let line = lines.next()?;
        if line == "}" && depth == 0 {
            return Some(());
        }
        let mut reader = Line { rest: line, depth, ..Line::default() };
        let follows = reader.read()?;
        depth = reader.depth;
        if let Follows::HereDocument { word, quoted } = follows {
            // Without quotes around its word, a backslash joins two lines of it.
            let joined = |line: &&str| !quoted && line.ends_with('\\');
            lines.find(|line| *line == word || joined(line)).filter(|line| !joined(line))?;
        }
    }
}

/// What follows a line.
enum Follows<'a> {
    /// Another one.
    Line,
    /// Text, up to a line that holds this word.
    HereDocument { word: &'a str, quoted: bool },
}

/// A line of a function while it is read.
#[derive(Default)]
struct Line<'a> {
    rest: &'a str,
    /// How many groups in braces are open.
    depth: usize,
    parentheses: usize,
    /// Within `[[ ]]`.
    condition: bool,
    /// Whether this command has had a word, reserved ones aside.
    begun: bool,
    /// The word that is being read, and whether it is written without quotes and expansions.
    word: String,
    quoted: bool,
}

impl<'a> Line<'a> {
    fn read(&mut self) -> Option<Follows<'a>> {
        while let Some(character) = self.rest.chars().next() {
            let behind = &self.rest[character.len_utf8()..];
            let in_word = !self.word.is_empty() || self.quoted;
            match character {
                ' ' | '\t' => self.end_word()?,
                '#' if !in_word => {
                    // In an arithmetic expression it is none.
                    return (self.parentheses == 0 && !self.condition).then_some(Follows::Line);
                }
                '\'' => {
                    self.quoted = true;
                    self.rest = behind.split_once('\'')?.1;
                    continue;
                }
                '"' => {
                    self.quoted = true;
                    self.rest = quoted(behind)?;
                    continue;
                }
                '\\' => {
                    self.quoted = true;
                    // At the end of the line: the next one belongs to it.
                    self.rest = &behind[behind.chars().next()?.len_utf8()..];
                    continue;
                }
                '`' => return None,
                '$' => {
                    self.quoted = true;
                    self.rest = match behind.chars().next() {
                        Some('{') => parameter(&behind[1..])?,
                        // Quotes in `$'…'` are others, and `$[…]` is arithmetic.
                        Some('\'' | '[') => return None,
                        _ => behind,
                    };
                    continue;
                }
                // Perhaps an index, in which anything may stand.
                '[' if self.parentheses > 0 || !self.quoted && super::is_name(&self.word) => {
                    let index = behind.split_once(']')?.0;
                    if index.contains(['(', ')', '{', '}', '\'', '"', '\\', '`', '#', '<']) {
                        return None;
                    }
                    self.word.push('[');
                }
                // In a list of words, bash gives up on the whole file where an operator comes.
                '(' if self.word.ends_with('=') && behind.contains([';', '&', '|', '<', '>']) => return None,
                '(' => {
                    self.end_word()?;
                    self.parentheses += 1;
                }
                ')' => {
                    self.end_word()?;
                    self.parentheses = self.parentheses.checked_sub(1)?;
                    self.begun = true;
                }
                ';' | '|' | '&' => {
                    self.end_word()?;
                    self.begun = self.parentheses > 0 || self.condition;
                }
                '<' | '>' => match self.redirect()? {
                    Follows::Line => continue,
                    document @ Follows::HereDocument { .. } => return Some(document),
                },
                _ => self.word.push(character),
            }
            self.rest = behind;
        }
        self.end_word()?;
        (self.parentheses == 0 && !self.condition).then_some(Follows::Line)
    }

    /// Passes over `<`, `>`, `<<<`, `>>`, `>&1`, and takes the word of a here-document, which has to end the line.
    fn redirect(&mut self) -> Option<Follows<'a>> {
        self.end_word()?;
        self.begun = true;
        let length = self.rest.len() - self.rest.trim_start_matches(['<', '>']).len();
        let (operator, behind) = self.rest.split_at(length);
        match operator {
            "<<" => {
                let inner = behind.strip_prefix('\'').and_then(|word| word.strip_suffix('\''));
                let word = inner.unwrap_or(behind);
                let alone = self.parentheses == 0 && !self.condition && super::is_name(word);
                return alone.then_some(Follows::HereDocument { word, quoted: inner.is_some() });
            }
            "<" | ">" | ">>" | "<<<" => {}
            _ => return None,
        }
        self.rest = match behind.strip_prefix('&') {
            Some(number) => number.strip_prefix(|next: char| next.is_ascii_digit() || next == '-')?,
            None => behind,
        };
        (!self.rest.starts_with('|')).then_some(Follows::Line)
    }

    /// What a word that is complete comes to.
    fn end_word(&mut self) -> Option<()> {
        let word = std::mem::take(&mut self.word);
        let quoted = std::mem::take(&mut self.quoted);
        if word.is_empty() && !quoted {
            return Some(());
        }
        let word = if quoted { "" } else { word.as_str() };
        let is_brace = word == "{" || word == "}";
        let is_command = !self.begun && !self.condition && self.parentheses == 0;
        if STRANGE.contains(&word) || is_brace && !is_command {
            return None;
        }
        self.begun = true;
        if is_command {
            match word {
                "{" => self.depth += 1,
                "}" => self.depth = self.depth.checked_sub(1)?,
                "[[" => self.condition = true,
                _ => {}
            }
            self.begun = !LEADING.contains(&word);
        } else if word == "]]" && self.parentheses == 0 {
            self.condition = false;
        }
        Some(())
    }
}

/// What stands behind the text in double quotes that begins here.
fn quoted(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let at = rest.find(['"', '\\', '`', '$'])?;
        let (character, behind) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = match character {
            b'"' => return Some(behind),
            b'\\' => &behind[behind.chars().next()?.len_utf8()..],
            b'$' if behind.starts_with('(') => simple(&behind[1..], ')')?,
            b'$' if behind.starts_with('{') => simple(&behind[1..], '}')?,
            b'$' if !behind.starts_with('[') => behind,
            _ => return None,
        };
    }
}

/// What stands behind a `${` that ends in this line. In it, quotes open and close as outside.
fn parameter(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let at = rest.find(['}', '"', '\'', '\\', '`', '(', ')', '{', '<', '>', '['])?;
        let behind = &rest[at + 1..];
        rest = match rest.as_bytes()[at] {
            b'}' => return Some(behind),
            b'"' => quoted(behind)?,
            b'[' => {
                let (index, behind) = behind.split_once(']')?;
                if index.contains(['}', '{', '"', '\'', '\\', '`', '(', ')', '<', '>', '[']) {
                    return None;
                }
                behind
            }
            _ => return None,
        };
    }
}

/// What stands behind an expansion in double quotes that has nothing in it that could hide its end.
fn simple(text: &str, end: char) -> Option<&str> {
    let (inner, behind) = text.split_once(end)?;
    let hides = |character| matches!(character, '(' | '{' | '"' | '\'' | '\\' | '`' | '<' | '>');
    let comment = end == ')' && inner.contains('#');
    let strange = inner.split_ascii_whitespace().any(|word| STRANGE.contains(&word));
    (!inner.contains(hides) && !comment && !strange).then_some(behind)
}
