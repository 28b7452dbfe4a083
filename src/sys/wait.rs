//! Waits for something that nobody announces.

use std::thread;
use std::time::{Duration, Instant};

/// Looks every `interval`, and once more when `limit` is over, until there is something to find.
pub fn wait_until<Found>(
    limit: Duration,
    interval: Duration,
    mut look: impl FnMut() -> Option<Found>,
) -> Option<Found> {
    let deadline = Instant::now() + limit;
    loop {
        let is_last = Instant::now() >= deadline;
        if let Some(found) = look() {
            return Some(found);
        }
        if is_last {
            return None;
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
}
