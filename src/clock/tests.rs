//! Tests of both clocks.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn the_clock_advances_by_itself_and_by_turns() {
    let (system, test) = (Clock::system(), TestClock::new());
    let clock = test.clock();
    let (before, then) = (system.now(), clock.now());
    assert!(then >= before && clock.now() >= then && clock.now() <= system.now());
    let wall = clock.wall();
    test.turn(HOUR);
    test.clone().turn(HOUR);
    assert!(clock.now() >= then + 2 * HOUR && clock.clone().now() <= system.now() + 2 * HOUR);
    assert!(clock.wall() >= wall + 2 * HOUR && clock.wall() <= system.wall() + 2 * HOUR);
    run(clock.sleep(Duration::from_millis(3)));
    assert!(system.now() >= before + Duration::from_millis(3));
}

#[test]
fn a_turn_wakes_due_timers_in_their_order() {
    run(async {
        let (test, woken) = (TestClock::new(), Arc::<Mutex<Vec<u32>>>::default());
        let begin = test.clock().now();
        let mut sleepers = tokio::task::JoinSet::new();
        for hours in [3, 1, 5, 2, 4] {
            let (clock, woken) = (test.clock(), woken.clone());
            sleepers.spawn(async move {
                clock.sleep_until(begin + HOUR * hours).await;
                woken.lock().push(hours);
            });
        }
        while test.waiting() < 5 {
            tokio::task::yield_now().await;
        }
        test.turn(HOUR * 3);
        for _ in 0..3 {
            sleepers.join_next().await.unwrap().unwrap();
        }
        assert_eq!((&woken.lock()[..], test.waiting()), (&[1, 2, 3][..], 2));
        test.turn(HOUR * 2);
        sleepers.join_all().await;
        assert_eq!(woken.lock()[3..], [4, 5]);
    });
}

#[test]
fn a_timeout_returns_the_result_or_an_error() {
    run(async {
        for clock in [Clock::system(), TestClock::new().clock()] {
            let (sender, mut answer) = oneshot::channel();
            assert_eq!(clock.timeout(Duration::from_millis(1), &mut answer).await, Err(TimedOut));
            sender.send(7).unwrap();
            assert_eq!(clock.timeout(Duration::MAX, answer).await, Ok(Ok(7)));
        }
        let test = TestClock::new();
        let clock = test.clock();
        let never = pin!(std::future::pending::<()>());
        let (timed_out, ()) = tokio::join!(clock.timeout(HOUR, never), async { test.turn(HOUR) });
        assert_eq!(timed_out, Err(TimedOut));
    });
}

#[test]
fn threads_that_wait_see_a_turn() {
    let test = TestClock::new();
    let clock = test.clock();
    let until = clock.now() + HOUR;
    let (waits, has_begun) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let (lock, condvar) = (Mutex::new(()), Condvar::new());
        let mut guard = lock.lock();
        waits.send(()).unwrap();
        while clock.now() < until {
            clock.wait_until(&condvar, &mut guard, until);
        }
        let until = clock.now() + HOUR;
        waits.send(()).unwrap();
        clock.park_until(until);
        assert!(clock.now() >= until);
        thread::current().unpark();
        clock.park_until(until + HOUR);
    });
    for _ in 0..2 {
        has_begun.recv().unwrap();
        test.turn(HOUR);
    }
    waiter.join().unwrap();
}

#[test]
fn a_stopwatch_is_not_turned() {
    let test = TestClock::new();
    let watch = Stopwatch::start();
    test.turn(1000 * HOUR);
    assert!(watch.took() < HOUR);
}

#[test]
fn a_dropped_timer_leaves_no_entry() {
    run(async {
        let test = TestClock::new();
        let clock = test.clock();
        assert_eq!(clock.timeout(HOUR, pin!(async {})).await, Ok(()));
        let (sender, mut answer) = oneshot::channel::<()>();
        tokio::join!(async { assert!(clock.timeout(HOUR, &mut answer).await.is_ok()) }, async {
            assert_eq!(test.waiting(), 1);
            sender.send(()).unwrap();
        });
        assert_eq!(test.waiting(), 0);
    });
}

#[test]
fn a_paused_clock_stops_and_resumes() {
    let (system, test) = (Clock::system(), TestClock::new());
    let clock = test.clock();
    test.pause();
    let (stood, wall) = (clock.now(), clock.wall());
    let unpaused = clock.unpaused();
    let before = unpaused.now();
    run(system.sleep(Duration::from_millis(2)));
    assert!(test.is_paused() && clock.now() == stood && clock.wall() == wall);
    assert!(unpaused.now() >= before + Duration::from_millis(2));
    test.turn(HOUR);
    assert_eq!((clock.now(), test.turned()), (stood + HOUR, HOUR));
    test.resume();
    let after = clock.now();
    assert!(!test.is_paused() && after >= stood + HOUR && after < unpaused.now());
}
