//! What a layer does when it is sourced, where that can be told without bash: it declares functions, and sets variables to
//! values that have no effect. Most layers do nothing else. Whatever is written in another way is not understood, on purpose:
//! to be in doubt costs the start of a bash, to be wrong would pass over what somebody has asked for.

mod body;

/// What is declared by bash text that does nothing else.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Declared<'a> {
    /// The names of its functions.
    pub functions: Vec<&'a str>,
    /// Its variables with their values, as they are written, without quotes around them.
    pub variables: Vec<(&'a str, &'a str)>,
}

impl<'a> Declared<'a> {
    /// Reads bash text: blank lines, comments, `NAME=value`, and functions whose first line is `NAME() {` and whose last is
    /// `}`. `None` where there is anything else in it, or it cannot be told where a function ends.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        let mut declared = Self::default();
        // Bash drops some of these, and takes others for a part of a word.
        if text.contains(|character: char| character.is_control() && !"\n\t".contains(character)) {
            return None;
        }
        let mut lines = text.split('\n');
        while let Some(line) = lines.next() {
            let bare = line.trim_matches([' ', '\t']);
            if bare.is_empty() || bare.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_suffix("() {").filter(|name| is_name(name)) {
                body::skip(&mut lines)?;
                declared.functions.push(name);
            } else {
                declared.variables.push(assignment(bare)?);
            }
        }
        Some(declared)
    }
}

/// Takes `NAME=value`, where nothing in the value has an effect or can fail.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=').filter(|(name, _)| is_name(name))?;
    let within = |quote| {
        value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote)).filter(|_| value.len() > 1)
    };
    if let Some(inner) = within('\'') {
        return (!inner.contains('\'')).then_some((name, inner));
    }
    let quoted = within('"');
    let inner = quoted.unwrap_or(value);
    let mut rest = inner;
    while let Some(character) = rest.chars().next() {
        rest = if character == '$' {
            variable(&rest[1..])?
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

/// What stands behind the name of a variable, `NAME` or `{NAME}`.
fn variable(text: &str) -> Option<&str> {
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
    fn functions_and_values_without_effect_are_declared() {
        let text = "# a comment with \" and '\n\n A_B=1\nC_D=\"x y $A_B\"\nE_F='it is; $(this)'\nG_H=${A_B}/24\nI_J=\n\
                    up_it() {\n  echo \"it's\" 'a \"b\"' # it's said\n  if x; then\n    y <<<\"z\" || { z; }\n  fi\n\
                    cat <<'END'\n}\n'\nEND\n  [[ $(ip \"$1\") == *\"$(cat x)\"* ]]\n}\n";
        let declared = Declared::read(text).unwrap();
        assert_eq!(declared.functions, ["up_it"]);
        assert_eq!(
            declared.variables,
            [("A_B", "1"), ("C_D", "x y $A_B"), ("E_F", "it is; $(this)"), ("G_H", "${A_B}/24"), ("I_J", "")]
        );
    }

    #[test]
    fn what_would_be_run_is_not_declared() {
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
            "f() {",
            "f() {\n:\n} >file",
            "f() {\n:\n}; true",
            "function f {\n:\n}",
            ". ./file",
        ] {
            assert_eq!(Declared::read(text), None, "{text}");
        }
    }

    #[test]
    fn files_that_ship_are_understood() {
        let lo = Declared::read(include_str!("../plugins/lo.sh")).unwrap();
        assert_eq!(lo.functions, ["configure_lo_up_inside", "configure_lo_check_inside"]);
        assert_eq!(lo.variables, [("NO_CONFIG_REQUIRED", "yes")]);
        assert!(Declared::read(include_str!("../etc/macvlan.conf")).is_some());
        // This one runs a command for each hook.
        assert_eq!(Declared::read(include_str!("../plugins/nft.sh")), None);
    }

    #[test]
    fn a_function_whose_end_could_be_somewhere_else_is_not_declared() {
        for line in [
            "echo '",
            "echo \"",
            "echo \\",
            "x=`",
            "x=$'\\''",
            "cat <<-END",
            "cat <<$END",
            "cat <<A <<B",
            "(( 1 << 2 ))",
            "x=\"$(sed 's/\"/\"",
            "x=\"$(cat",
            "}; true",
            ":; }",
            "  }",
            "echo {",
            "{ echo }",
            "(( 1 <<x",
            "x=(a;)",
            "cat <<'END",
            "cat <<END\n\\\nEND",
            "echo \\; {",
            "echo \\; }",
            "echo then {",
            "echo >| {",
            "echo >& {",
            "[[ x && {",
            "[[ $(echo ]] ) || { ]]",
            "x=(\n{\n)",
            "y=( [)]=1",
            "x[",
            "echo ${x#",
            "(( 1 # \"",
            "case x in",
            "echo \r#'",
            "echo \0",
            "time [[ a || { ]]",
            "echo \"$(echo '\"",
        ] {
            assert_eq!(Declared::read(&format!("f() {{\n{line}\n}}\ntrue\n}}\n")), None, "{line}");
        }
    }
}
