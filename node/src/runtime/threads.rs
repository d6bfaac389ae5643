//! The threads of a node: one multi-thread runtime for gRPC, Raft and timers, and one
//! current-thread arbiter per core for SMTP sockets and delivery actors.

use std::future::Future;
use std::num::NonZero;
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle, System, SystemRunner};
use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};

/// How long tasks may take to reach a point where they can be dropped.
const TASKS_GRACE: Duration = Duration::from_secs(5);

/// All threads but those of the store.
pub(super) struct Threads {
    system: Mutex<SystemRunner>,
    runtime: Runtime,
    arbiters: Vec<Arbiter>,
}

impl Threads {
    /// Starts them.
    pub(super) fn start() -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores)
            .thread_name("runtime")
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let system = System::new();
        let arbiters = (0..cores).map(|_| Arbiter::new()).collect();
        Ok(Self { system: Mutex::new(system), runtime, arbiters })
    }

    /// Runs a future on the main thread.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.system.lock().block_on(future)
    }

    /// The multi-thread runtime. Raft groups and gRPC are created on it, never on an arbiter.
    pub(super) fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// One arbiter per core.
    pub(super) fn arbiters(&self) -> Vec<ArbiterHandle> {
        self.arbiters.iter().map(Arbiter::handle).collect()
    }

    /// Ends them. What still runs is dropped: everything that matters was stopped before. That is
    /// waited for, since a task may hold the store, which must be closed before the process ends.
    pub(super) fn stop(self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        for arbiter in self.arbiters {
            if arbiter.join().is_err() {
                tracing::error!("an arbiter ended by a panic");
            }
        }
        self.runtime.shutdown_timeout(TASKS_GRACE);
    }
}
