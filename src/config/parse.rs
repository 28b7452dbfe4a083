//! Parses bash text that only sets variables, without bash. Most `.conf` files are of this kind.
//!
//! If a text could contain anything else, the result is `None`, and bash has to read the text. This only takes more time. A
//! wrong result would be worse: a part of a user's file would be ignored.

/// Parses bash text that has only blank lines, comments and `NAME=value`. Returns the variables with their unexpanded values,
/// without the outer quotes. `None` if the text has anything else.
#[must_use]
pub fn assignments(text: &str) -> Option<Vec<(&str, &str)>> {
    // Bash drops some control characters; others are part of a word.
    if text.contains(|character: char| character.is_control() && !"\n\t".contains(character)) {
        return None;
    }
    let lines = text.split('\n').map(|line| line.trim_matches([' ', '\t']));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(assignment).collect()
}

/// Parses a plugin that has only functions and assignments. A function is in one line, or reaches from a line `NAME() {` to a
/// line `}`. Returns the variables like [`assignments`]; `None` if anything else is outside a function.
#[must_use]
pub fn definitions(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut variables = Vec::new();
    let mut in_function = false;
    for line in text.split('\n') {
        let head = line.split_once("() {").filter(|(name, _)| is_name(name));
        match head.map(|(_, body)| body) {
            _ if in_function => in_function = line != "}",
            Some("") => in_function = true,
            // A second `{` could be a command after the function.
            Some(body) => _ = body.strip_suffix("; }").filter(|body| !body.contains("{ "))?,
            None => variables.extend(assignments(line)?),
        }
    }
    (!in_function).then_some(variables)
}

/// Parses `NAME=value`. `None` if the expansion of the value could fail, or could have a side effect, as `$(command)` has.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=').filter(|(name, _)| is_name(name))?;
    let unquoted = |quote| {
        value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote)).filter(|_| value.len() > 1)
    };
    if let Some(inner) = unquoted('\'') {
        return (!inner.contains('\'')).then_some((name, inner));
    }
    let quoted = unquoted('"');
    let inner = quoted.unwrap_or(value);
    let mut rest = inner;
    while let Some(character) = rest.chars().next() {
        rest = if character == '$' {
            after_variable(&rest[1..])?
        } else if character.is_ascii_alphanumeric()
            || "_./:,@%+-".contains(character)
            || quoted.is_some() && "  #;*?()[]{}<>|&'".contains(character)
        {
            &rest[character.len_utf8()..]
        } else {
            return None;
        };
    }
    Some((name, inner))
}

/// The text after `NAME` or `{NAME}`; `None` if the text does not begin with a variable.
fn after_variable(text: &str) -> Option<&str> {
    if let Some(braced) = text.strip_prefix('{') {
        let (name, rest) = braced.split_once('}')?;
        return is_name(name).then_some(rest);
    }
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    is_name(name).then_some(rest)
}

fn is_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(|first: char| first.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_without_side_effects_are_parsed() {
        let text = "# a comment with \" and '\n\n A_B=1\nC_D=\"x y $A_B\"\nE_F='it is; $(this)'\nG_H=${A_B}/24\nI_J=\n";
        assert_eq!(
            assignments(text).unwrap(),
            [("A_B", "1"), ("C_D", "x y $A_B"), ("E_F", "it is; $(this)"), ("G_H", "${A_B}/24"), ("I_J", "")]
        );
        assert!(assignments(include_str!("../../etc/macvlan.conf")).is_some());
    }

    #[test]
    fn functions_and_assignments_are_definitions() {
        let text = "# f\nA_B=1\n\nf() {\n  A_C=2\n  x\n}\ng() { echo \"${A_B}\"; }\nA_D=$A_B\n";
        assert_eq!(definitions(text).unwrap(), [("A_B", "1"), ("A_D", "$A_B")]);
    }

    #[test]
    fn any_other_command_outside_a_function_is_not_a_definition() {
        for line in [
            "source lib.sh",
            ". lib.sh",
            "export A_B=1",
            "  export A_B=1",
            "declare -g A_B=1",
            ": \"${A_B:=1}\"",
            "A_B+=1",
            "A_B[0]=1",
            "A_B=1 A_C=2",
            "(( A_B = 1 ))",
            "if true; then",
            "g() { :; }; { A_B=1; }",
            "g() {",
            "function g {",
            "}",
        ] {
            for text in [format!("f() {{\n  :\n}}\n{line}\n"), format!("{line}\nf() {{\n  :\n}}\n")] {
                let is_inner = line == "g() {" && text.starts_with(line);
                assert_eq!(definitions(&text).is_some(), is_inner, "{text}");
            }
        }
        for plugin in ["lo", "macvlan", "veth", "dns"] {
            let file = format!("{}/plugins/{plugin}.sh", env!("CARGO_MANIFEST_DIR"));
            assert!(definitions(&std::fs::read_to_string(file).unwrap()).is_some(), "{plugin}");
        }
    }

    #[test]
    fn text_that_could_have_side_effects_is_not_parsed() {
        for text in [
            "true",
            "A=1 true",
            "A=(1)",
            "A+=1",
            "A=$(true)",
            "A=`true`",
            "A=\"$(true)\"",
            "A=\"`true`\"",
            "A=~",
            "A=*",
            "A=a;b",
            "A=b c",
            "A=\"",
            "A='",
            "A=${B:=c}",
            "A=\\",
            "A=\"\\\"",
            "A=1\r",
            "export A=1",
            "1A=2",
            "}",
            "f() { :; }",
            "f() {\n:\n}",
            ". ./file",
        ] {
            assert_eq!(assignments(text), None, "{text}");
        }
    }
}
