//! Waits for something that nobody announces.

use std::convert::Infallible;
use std::thread;
use std::time::{Duration, Instant};

/// Looks every `interval`, and once more when `limit` is over, until there is something to find.
pub fn wait_until<Found>(
    limit: Duration,
    interval: Duration,
    mut look: impl FnMut() -> Option<Found>,
) -> Option<Found> {
    let Ok(found) = try_wait_until(limit, interval, || Ok::<_, Infallible>(look()));
    found
}

/// The same where a look may fail, which ends the wait.
/// Errors: a look has failed.
pub fn try_wait_until<Found, Error>(
    limit: Duration,
    interval: Duration,
    mut look: impl FnMut() -> Result<Option<Found>, Error>,
) -> Result<Option<Found>, Error> {
    let accepted = Instant::now();
    loop {
        let is_last = accepted.elapsed() >= limit;
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if is_last {
            return Ok(None);
        }
        thread::sleep(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_the_time_is_not_exceeded_for_what_is_not() {
        let mut looks = 0;
        let third = wait_until(Duration::from_secs(60), Duration::from_millis(1), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(third, Some(3));
        assert_eq!(wait_until(Duration::ZERO, Duration::from_secs(60), || None::<()>), None);
    }

    #[test]
    fn a_look_that_fails_is_the_last_one() {
        let second = Duration::from_secs(60);
        assert_eq!(try_wait_until::<(), _>(second, second, || Err("it failed")), Err("it failed"));
    }
}
