//! What is expected, from a file: `tcp 192.0.2.1:80 passes`, a line for each attempt.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::targets::Attempt;
use super::{Measurement, Verdict};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What is tried.
    pub attempt: Attempt,
    /// What may become of it.
    verdicts: Vec<Verdict>,
    /// The words for that in the file.
    words: String,
}

/// Reads a file.
/// Errors: it cannot be read, or a line is wrong.
pub fn read(file: &Path) -> Result<Vec<Expected>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut all: Vec<Expected> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let expected = parse(line).with_context(|| format!("{}:{}", file.display(), number + 1))?;
        if all.iter().any(|other| other.attempt == expected.attempt) {
            bail!("{}:{}: `{}` is expected twice", file.display(), number + 1, expected.attempt);
        }
        all.push(expected);
    }
    if all.is_empty() {
        bail!("{} expects nothing: write lines such as `tcp 192.0.2.1:80 blocked`", file.display());
    }
    Ok(all)
}

fn parse(line: &str) -> Result<Expected> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [protocol, target, verdicts] = words.as_slice() else {
        bail!("{line:?} is no expectation: write `PROTOCOL TARGET VERDICT`, as in `tcp 192.0.2.1:80 blocked`")
    };
    let attempt = Attempt::new(protocol.parse()?, target)?;
    let mut all = Vec::new();
    for word in verdicts.split('|') {
        match word {
            "passes" => all.push(Verdict::Passes),
            "refused" => all.push(Verdict::Refused),
            "unanswered" => all.push(Verdict::Unanswered),
            "blocked" => all.push(Verdict::Blocked),
            "fails" => all.extend([Verdict::Refused, Verdict::Unanswered, Verdict::Blocked]),
            _ => bail!(
                "{word:?} is no verdict: use passes, refused, unanswered, blocked, or fails for any but passes"
            ),
        }
    }
    Ok(Expected { attempt, verdicts: all, words: (*verdicts).to_owned() })
}

/// That something went otherwise than expected.
#[derive(Debug)]
pub struct Difference<'a> {
    expected: &'a Expected,
    measurement: &'a Measurement,
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, measurement } = self;
        write!(f, "{}: expected {}, but {}", expected.attempt, expected.words, measurement.verdict)?;
        for reason in measurement.rule.iter().chain(&measurement.detail) {
            write!(f, "; {reason}")?;
        }
        Ok(())
    }
}

/// What went otherwise than expected.
/// Errors: something that is expected was not tried.
pub fn differences<'a>(
    expected: &'a [Expected],
    measurements: &'a [Measurement],
) -> Result<Vec<Difference<'a>>> {
    let mut differences = Vec::new();
    for expected in expected {
        let measurement = measurements
            .iter()
            .find(|measurement| measurement.attempt == expected.attempt)
            .ok_or_else(|| anyhow!("`{}` was not tried", expected.attempt))?;
        if !expected.verdicts.contains(&measurement.verdict) {
            differences.push(Difference { expected, measurement });
        }
    }
    Ok(differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(verdict: Verdict) -> Measurement {
        let attempt = parse("tcp 192.0.2.1:80 passes").unwrap().attempt;
        Measurement { attempt, verdict, interface: None, route: None, rule: None, detail: None }
    }

    #[test]
    fn a_verdict_may_be_one_of_several_and_fails_is_any_but_passes() {
        let met = |words: &str, verdict| {
            let expected = [parse(&format!("tcp 192.0.2.1:80 {words}")).unwrap()];
            differences(&expected, &[measurement(verdict)]).unwrap().is_empty()
        };
        assert!(met("passes", Verdict::Passes) && !met("passes", Verdict::Refused));
        assert!(
            met("blocked|unanswered", Verdict::Unanswered) && !met("blocked|unanswered", Verdict::Refused)
        );
        assert!(met("fails", Verdict::Blocked) && !met("fails", Verdict::Passes));
    }

    #[test]
    fn a_difference_says_what_was_expected_what_is_and_why() {
        let expected = [parse("tcp 192.0.2.1:80 blocked").unwrap()];
        let measurements = [Measurement {
            rule: Some("inet filter output: accept".to_owned()),
            ..measurement(Verdict::Passes)
        }];
        let said = differences(&expected, &measurements).unwrap()[0].to_string();
        assert_eq!(said, "tcp 192.0.2.1:80: expected blocked, but passes; inet filter output: accept");
    }

    #[test]
    fn a_line_that_is_wrong_is_an_error() {
        for bad in [
            "tcp 192.0.2.1:80",
            "tcp 192.0.2.1 passes",
            "icmp 192.0.2.1:80 passes",
            "sctp 192.0.2.1:80 passes",
            "tcp 192.0.2.1:80 maybe",
            "dns a/b passes",
            "tcp 192.0.2.1:80 passes now",
            "tcp 192.0.2.1:80 passes|",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
