//! Lends a scan a clock and a monitor that are the test's. A scan wants to own them, because a disk may never let go of one
//! of its threads; what a test has, borrows from the test.
#![allow(dead_code)]

use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};
use jiff::Timestamp;
use shelflist::catalog::libraries::Library;
use shelflist::catalog::{Catalog, RunLock};
use shelflist::clock::Clock;
use shelflist::model::Problem;
use shelflist::monitor::{Counter, Monitor, Phase};
use shelflist::scan::{self, Options, Report, ScanError};
use shelflist::volume::VerifiedRoot;

type Question = Box<dyn FnOnce(&dyn Clock, &dyn Monitor) + Send>;

/// Who watches may take his time over one question, while others are answered.
const ANSWERERS: usize = 8;

/// Puts every question to who has the answer, and waits for it.
struct Lent(Sender<Question>);

impl Lent {
    fn ask<T: Send + 'static>(&self, what: impl FnOnce(&dyn Clock, &dyn Monitor) -> T + Send + 'static) -> T {
        let (say, said) = bounded(1);
        let question: Question = Box::new(move |clock, monitor| {
            let _ = say.send(what(clock, monitor));
        });
        self.0.send(question).expect("somebody answers as long as there is a scan");
        said.recv().expect("who was asked did not panic")
    }
}

impl Clock for Lent {
    fn now(&self) -> Timestamp {
        self.ask(|clock, _| clock.now())
    }
}

impl Monitor for Lent {
    fn phase(&self, phase: Phase, total: Option<u64>) {
        self.ask(move |_, monitor| monitor.phase(phase, total));
    }

    fn count(&self, counter: Counter, n: u64) {
        self.ask(move |_, monitor| monitor.count(counter, n));
    }

    fn problem(&self, problem: &Problem) {
        let problem = problem.clone();
        self.ask(move |_, monitor| monitor.problem(&problem));
    }

    fn cancelled(&self) -> bool {
        self.ask(|_, monitor| monitor.cancelled())
    }
}

/// [`scan::run`] with a clock and a monitor that it gives back.
pub(crate) fn scan(
    catalog: &mut Catalog,
    lock: &RunLock,
    library: &Library,
    root: &VerifiedRoot,
    options: &Options,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Report, ScanError> {
    std::thread::scope(|scope| {
        let (ask, questions) = bounded::<Question>(0);
        for _ in 0..ANSWERERS {
            let questions = questions.clone();
            scope.spawn(move || questions.iter().for_each(|question| question(clock, monitor)));
        }
        let lent = Arc::new(Lent(ask));
        scan::run(catalog, lock, library, root, options, Arc::<Lent>::clone(&lent), lent)
    })
}
