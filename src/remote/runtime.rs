//! The one runtime of the program: network libraries are asynchronous, everything else here blocks.
//!
//! It is begun at the first use, so that commands that touch no network have no threads for it, and it is never ended:
//! a store may be dropped on any thread, and what still runs then dies with the process.

use std::future::Future;
use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// A way to wait for asynchronous work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter(&'static Runtime);

impl Waiter {
    /// The runtime, begun where it has not been.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub(super) fn new() -> io::Result<Self> {
        if let Some(runtime) = RUNTIME.get() {
            return Ok(Waiter(runtime));
        }
        // Two threads: one cannot keep the other from reading while it encrypts.
        let made = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("remote")
            .enable_io()
            .enable_time()
            .build()?;
        // Of two threads that began one at a time the second's is dropped again; nothing runs in it.
        Ok(Waiter(RUNTIME.get_or_init(|| made)))
    }

    /// Waits on this thread, which must not be one of the runtime's own.
    pub(super) fn wait<F: Future>(self, work: F) -> F::Output {
        self.0.block_on(work)
    }

    /// Begins work beside this thread.
    pub(super) fn spawn<F>(self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(work)
    }
}
