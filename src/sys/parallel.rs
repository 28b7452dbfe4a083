//! Parallel work in threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// If no piece of work is done for this time, [`parallel_waiting`] starts more threads.
const STALL: Duration = Duration::from_secs(1);
/// The maximum number of threads. On a busy machine, pieces take long because they wait for a processor, and more threads would not
/// help.
const MAX_THREADS: usize = 32;

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

/// Does the same for work that can wait for a long time without a processor. If no piece is done for a second, twice as many
/// threads work on the rest. So pieces that hang until their timeout do not add up, and do not stop the others.
pub fn parallel_waiting<Work: Send, Done: Send>(
    work: VecDeque<Work>,
    act: impl Fn(Work) -> Done + Sync,
) -> Vec<Done> {
    let total = work.len();
    if total <= 1 {
        return work.into_iter().map(act).collect();
    }
    let queue = Mutex::new(work);
    let next = || queue.lock().map_or(None, |mut queue| queue.pop_front());
    let (done, changed) = (Mutex::new(Vec::new()), Condvar::new());
    let worker = || {
        while let Some(piece) = next() {
            let result = act(piece);
            done.lock().unwrap_or_else(PoisonError::into_inner).push(result);
            changed.notify_one();
        }
    };
    thread::scope(|scope| {
        let start = |count: usize| {
            (0..count).take_while(|_| thread::Builder::new().spawn_scoped(scope, worker).is_ok()).count()
        };
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let mut threads = start((2 * processors).min(MAX_THREADS));
        if threads == 0 {
            worker(); // without another thread, this one does all the work
        }
        let mut seen = done.lock().unwrap_or_else(PoisonError::into_inner);
        while seen.len() < total {
            let before = seen.len();
            // The signal of a piece that was counted already is not a stall.
            let waited = changed.wait_timeout_while(seen, STALL, |seen| seen.len() == before);
            let (now, wait) = waited.unwrap_or_else(PoisonError::into_inner);
            seen = now;
            if wait.timed_out() {
                let left = queue.lock().map_or(0, |queue| queue.len());
                threads += start(threads.min(left).min(MAX_THREADS - threads));
            }
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_wait_do_not_add_up() {
        // No piece ends before all are in progress.
        let (inside, all_inside) = (Mutex::new(0), Condvar::new());
        let done = parallel_waiting((0..MAX_THREADS).collect(), |number| {
            let mut inside = inside.lock().unwrap();
            *inside += 1;
            all_inside.notify_all();
            let timeout = Duration::from_secs(60);
            let (_guard, waited) =
                all_inside.wait_timeout_while(inside, timeout, |inside| *inside < MAX_THREADS).unwrap();
            (number, waited.timed_out())
        });
        assert!(done.len() == MAX_THREADS && done.iter().all(|(_, timed_out)| !timed_out), "{done:?}");
    }

    #[test]
    fn each_piece_is_done_once_in_either_way() {
        for number in [0, 1, 2, 100] {
            for mut done in
                [parallel((0..number).collect(), |n| n), parallel_waiting((0..number).collect(), |n| n)]
            {
                done.sort_unstable();
                assert_eq!(done, (0..number).collect::<Vec<u32>>());
            }
        }
    }
}
