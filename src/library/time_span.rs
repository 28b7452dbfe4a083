//! Time spans, as an administrator writes them for systemd (systemd.time(7)): `10min`, `1h 30min`, `90`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::print;

/// `valid_time_span`: prints a line if the value of a setting is not a time span, or not less than a limit. Arguments: SETTING VALUE
/// [LIMIT]
/// Errors: an argument is missing, or the limit is not a time span.
pub fn check(arguments: &[&str]) -> Result<()> {
    let [setting, value, limit @ ..] = arguments else { bail!("expected SETTING VALUE [LIMIT]") };
    match (parse(value), limit.first()) {
        (Err(error), _) => print::say(&format!("{setting}: {error:#}")),
        (Ok(span), Some(limit)) if span >= parse(limit)? => {
            print::say(&format!("{setting}: '{value}' is too long: expected less than {limit}"));
        }
        (Ok(_), _) => {}
    }
    Ok(())
}

/// `time_span`: prints a time span in milliseconds. Arguments: SETTING VALUE
/// Errors: the value is not a time span.
pub fn convert(arguments: &[&str]) -> Result<()> {
    let [setting, value] = arguments else { bail!("expected SETTING VALUE") };
    let span = parse(value).with_context(|| (*setting).to_owned())?;
    print::say(&span.as_millis().to_string());
    Ok(())
}

/// Parses a time span of at least a millisecond. A number without a unit is in seconds.
/// Errors: the text has another form, or the time is too long.
pub fn parse(text: &str) -> Result<Duration> {
    let invalid = || {
        format!("'{text}' is not a time span: expected a number and a unit, such as 10min, 90s or 1h 30min")
    };
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, after) = split(rest, |letter| letter.is_ascii_digit());
        let (unit, after) = split(after.trim_start(), |letter| letter.is_ascii_alphabetic());
        let milliseconds = milliseconds(unit).with_context(invalid)?;
        let number: u64 = number.parse().ok().with_context(invalid)?;
        let part = number.checked_mul(milliseconds).map(Duration::from_millis).with_context(invalid)?;
        total = total.checked_add(part).with_context(invalid)?;
        rest = after.trim_start();
    }
    ensure!(!total.is_zero(), invalid());
    Ok(total)
}

/// The length of a unit.
fn milliseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" | "msec" => 1,
        "" | "s" | "sec" | "second" | "seconds" => 1000,
        "m" | "min" | "minute" | "minutes" => 60 * 1000,
        "h" | "hr" | "hour" | "hours" => 60 * 60 * 1000,
        "d" | "day" | "days" => 24 * 60 * 60 * 1000,
        "w" | "week" | "weeks" => 7 * 24 * 60 * 60 * 1000,
        _ => return None,
    })
}

/// Splits a text after the letters at its start that are `wanted`.
fn split(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|letter| !wanted(letter)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_added() {
        for (text, seconds) in [
            ("10min", 600),
            ("1h 30min", 5400),
            ("90", 90),
            ("2 days", 172_800),
            (" 1m30s ", 90),
            ("0s 1", 1),
        ] {
            assert_eq!(parse(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!(parse("250ms").unwrap(), Duration::from_millis(250));
    }

    #[test]
    fn other_text_is_refused() {
        for text in
            ["", " ", "0", "never", "10 parsecs", "-5s", "1.5h", "min", "5s ago", "99999999999999999999"]
        {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("'{text}' is not a time span")), "{error}");
        }
        assert!(parse("18446744073709551615w").is_err());
    }
}
