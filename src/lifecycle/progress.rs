//! A word for who waits.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::name::Instance;
use crate::print;

/// When a wait is worth a word, the first time and from then on.
const FIRST_WORD: Duration = Duration::from_secs(1);
const NEXT_WORD: Duration = Duration::from_secs(10);

/// Does something, and says so on stderr if it takes long.
pub fn while_telling<Done>(present: &str, instances: &[Instance], act: impl FnOnce() -> Done) -> Done {
    let (done, wait) = mpsc::channel::<()>();
    thread::scope(|scope| {
        // Where no thread can be had, it is done without a word.
        _ = thread::Builder::new().spawn_scoped(scope, move || {
            let mut timeout = FIRST_WORD;
            while wait.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                print::stderr_lines(&format!("still {present} {}...", summary(instances)));
                timeout = NEXT_WORD;
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
