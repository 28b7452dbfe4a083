//! Parallel work in threads.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Calls `act` for each piece of work, in several threads. The order of the results is undefined.
pub fn parallel<Work: Send, Done: Send>(
    work: VecDeque<Work>,
    act: impl Fn(Work) -> Done + Sync,
) -> Vec<Done> {
    if work.len() <= 1 {
        return work.into_iter().map(act).collect();
    }
    // More threads than processors, because hooks mostly wait for the kernel.
    let workers = (2 * thread::available_parallelism().map_or(1, usize::from)).min(work.len());
    let queue = Mutex::new(work);
    let next = || queue.lock().map_or(None, |mut queue| queue.pop_front());
    let done = Mutex::new(Vec::new());
    let worker = || {
        while let Some(piece) = next() {
            let result = act(piece);
            if let Ok(mut done) = done.lock() {
                done.push(result);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers {
            // Without another thread, the existing threads do all the work.
            if thread::Builder::new().spawn_scoped(scope, worker).is_err() {
                break;
            }
        }
        worker();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}
