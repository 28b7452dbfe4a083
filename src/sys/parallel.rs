//! Several pieces of work at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does all the work; the results are in no particular order.
pub fn parallel<Work: Send, Done: Send>(
    work: VecDeque<Work>,
    act: impl Fn(Work) -> Done + Sync,
) -> Vec<Done> {
    if work.len() <= 1 {
        return work.into_iter().map(act).collect();
    }
    // Hooks wait for the kernel more than they compute.
    let workers = (2 * thread::available_parallelism().map_or(1, usize::from)).min(work.len());
    let queue = Mutex::new(work);
    let next = || queue.lock().map_or(None, |mut queue| queue.pop_front());
    let done = Mutex::new(Vec::new());
    let work_off = || {
        while let Some(piece) = next() {
            let result = act(piece);
            if let Ok(mut done) = done.lock() {
                done.push(result);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers {
            // Where no more threads can be had, those that there are do it.
            if thread::Builder::new().spawn_scoped(scope, work_off).is_err() {
                break;
            }
        }
        work_off();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}
