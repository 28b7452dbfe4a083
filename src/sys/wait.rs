//! Polling for a condition that sends no event.

use std::convert::Infallible;
use std::thread;
use std::time::{Duration, Instant};

/// Calls `poll` until it returns a value; `None` after the timeout. The last call is after the timeout. The pause between two
/// calls is `interval`, or the duration of a call if that is longer, so a slow poll does not keep a processor busy.
pub fn wait_until<Found>(
    timeout: Duration,
    interval: Duration,
    mut poll: impl FnMut() -> Option<Found>,
) -> Option<Found> {
    let Ok(found) = try_wait_until(timeout, interval, || Ok::<_, Infallible>(poll()));
    found
}

/// Like [`wait_until`], for a `poll` that can fail. An error ends the wait.
/// Errors: as for `poll`.
pub fn try_wait_until<Found, Error>(
    timeout: Duration,
    interval: Duration,
    mut poll: impl FnMut() -> Result<Option<Found>, Error>,
) -> Result<Option<Found>, Error> {
    let started = Instant::now();
    loop {
        let before = started.elapsed();
        let is_last = before >= timeout;
        if let Some(found) = poll()? {
            return Ok(Some(found));
        }
        if is_last {
            return Ok(None);
        }
        thread::sleep(interval.max(started.elapsed().saturating_sub(before)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_ends_with_the_first_value_or_at_the_timeout() {
        let mut polls = 0;
        let third = wait_until(Duration::from_secs(60), Duration::from_millis(1), || {
            polls += 1;
            (polls == 3).then_some(polls)
        });
        assert_eq!(third, Some(3));
        assert_eq!(wait_until(Duration::ZERO, Duration::from_secs(60), || None::<()>), None);
    }

    #[test]
    fn a_failed_poll_ends_the_wait() {
        let minute = Duration::from_secs(60);
        assert_eq!(try_wait_until::<(), _>(minute, minute, || Err("it failed")), Err("it failed"));
    }
}
