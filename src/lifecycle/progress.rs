//! Progress messages of long operations.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::name::Instance;
use crate::print;

/// Delay of the first message.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Interval between further messages.
const REPEAT_INTERVAL: Duration = Duration::from_secs(10);

/// Runs `act`, and prints progress messages on stderr if it takes long.
pub fn with_progress<Done>(participle: &str, instances: &[Instance], act: impl FnOnce() -> Done) -> Done {
    let (done, finished) = mpsc::channel::<()>();
    thread::scope(|scope| {
        // Without a thread there are no messages.
        _ = thread::Builder::new().spawn_scoped(scope, move || {
            let mut timeout = FIRST_DELAY;
            while finished.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                print::stderr_lines(&format!("still {participle} {}...", summary(instances)));
                timeout = REPEAT_INTERVAL;
            }
        });
        let result = act();
        drop(done);
        result
    })
}

fn summary(instances: &[Instance]) -> String {
    match instances {
        [one] => one.to_string(),
        [one, two] => format!("{one} and {two}"),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
        [] => "nothing".to_owned(),
    }
}
