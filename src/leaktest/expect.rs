//! Compares the measurements with a file of expected verdicts. The file has a line for each attempt: `tcp 192.0.2.1:80 passes`.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::targets::Attempt;
use super::{Measurement, Verdict};

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The attempt.
    pub attempt: Attempt,
    /// The expected verdicts.
    verdicts: Vec<Verdict>,
    /// The verdicts as the file has them.
    verdicts_text: String,
}

/// Reads a file of expected verdicts.
/// Errors: the file cannot be read, a line is invalid, an attempt occurs twice, or the file has no lines.
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
            bail!("{}:{}: duplicate line for `{}`", file.display(), number + 1, expected.attempt);
        }
        all.push(expected);
    }
    if all.is_empty() {
        bail!("{} has no expected verdicts: add lines such as `tcp 192.0.2.1:80 blocked`", file.display());
    }
    Ok(all)
}

fn parse(line: &str) -> Result<Expected> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [protocol, target, verdicts] = fields.as_slice() else {
        bail!("invalid line {line:?}: expected `PROTOCOL TARGET VERDICT`, such as `tcp 192.0.2.1:80 blocked`")
    };
    let attempt = Attempt::new(protocol.parse()?, target)?;
    let mut all = Vec::new();
    for verdict in verdicts.split('|') {
        match verdict {
            "passes" => all.push(Verdict::Passes),
            "refused" => all.push(Verdict::Refused),
            "unanswered" => all.push(Verdict::Unanswered),
            "blocked" => all.push(Verdict::Blocked),
            "fails" => all.extend([Verdict::Refused, Verdict::Unanswered, Verdict::Blocked]),
            _ => bail!(
                "invalid verdict {verdict:?}: expected passes, refused, unanswered, blocked, or fails (any except passes)"
            ),
        }
    }
    Ok(Expected { attempt, verdicts: all, verdicts_text: (*verdicts).to_owned() })
}

/// A measured verdict that differs from the expected verdicts.
#[derive(Debug)]
pub struct Difference<'a> {
    expected: &'a Expected,
    measurement: &'a Measurement,
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, measurement } = self;
        write!(f, "{}: expected {}, but {}", expected.attempt, expected.verdicts_text, measurement.verdict)?;
        for reason in measurement.rule.iter().chain(&measurement.detail) {
            write!(f, "; {reason}")?;
        }
        Ok(())
    }
}

/// Returns the measurements that differ from the expected verdicts.
/// Errors: an expected attempt was not made.
pub fn differences<'a>(
    expected: &'a [Expected],
    measurements: &'a [Measurement],
) -> Result<Vec<Difference<'a>>> {
    let mut differences = Vec::new();
    for expected in expected {
        let measurement = measurements
            .iter()
            .find(|measurement| measurement.attempt == expected.attempt)
            .ok_or_else(|| anyhow!("`{}` is expected in the file, but was not tested", expected.attempt))?;
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
    fn several_verdicts_are_alternatives_and_fails_means_any_verdict_except_passes() {
        let met = |verdicts: &str, verdict| {
            let expected = [parse(&format!("tcp 192.0.2.1:80 {verdicts}")).unwrap()];
            differences(&expected, &[measurement(verdict)]).unwrap().is_empty()
        };
        assert!(met("passes", Verdict::Passes) && !met("passes", Verdict::Refused));
        assert!(
            met("blocked|unanswered", Verdict::Unanswered) && !met("blocked|unanswered", Verdict::Refused)
        );
        assert!(met("fails", Verdict::Blocked) && !met("fails", Verdict::Passes));
    }

    #[test]
    fn a_difference_reports_the_expected_and_the_measured_verdict_with_the_reason() {
        let expected = [parse("tcp 192.0.2.1:80 blocked").unwrap()];
        let measurements = [Measurement {
            rule: Some("inet filter output: accept".to_owned()),
            ..measurement(Verdict::Passes)
        }];
        let message = differences(&expected, &measurements).unwrap()[0].to_string();
        assert_eq!(message, "tcp 192.0.2.1:80: expected blocked, but passes; inet filter output: accept");
    }

    #[test]
    fn an_invalid_line_is_an_error() {
        for invalid in [
            "tcp 192.0.2.1:80",
            "tcp 192.0.2.1 passes",
            "icmp 192.0.2.1:80 passes",
            "sctp 192.0.2.1:80 passes",
            "tcp 192.0.2.1:80 maybe",
            "dns a/b passes",
            "tcp 192.0.2.1:80 passes now",
            "tcp 192.0.2.1:80 passes|",
        ] {
            assert!(parse(invalid).is_err(), "{invalid}");
        }
    }
}
