//! A few threads that read the database for everybody else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

use super::StoreError;
use super::database::Database;

/// Reads that may wait at a time; more wait outside, without memory of the database's.
const WAITING: usize = 1024;

type Job = Box<dyn FnOnce(&Arc<Database>) + Send>;

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    stopped: bool,
}

struct Shared {
    jobs: Mutex<Jobs>,
    arrived: Condvar,
    permits: Semaphore,
}

/// The pool.
#[derive(Clone)]
pub(crate) struct Reader(Arc<Shared>);

/// Its threads.
pub(crate) struct ReaderThreads {
    reader: Reader,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Reader {
    /// Starts `count` threads.
    pub(crate) fn start(
        database: &Arc<Database>,
        count: usize,
    ) -> std::io::Result<(ReaderThreads, Self)> {
        let shared = Arc::new(Shared {
            jobs: Mutex::default(),
            arrived: Condvar::new(),
            permits: Semaphore::new(WAITING),
        });
        let mut threads = Vec::new();
        for number in 0..count {
            let (shared, database) = (shared.clone(), database.clone());
            let thread = std::thread::Builder::new()
                .name(format!("reader-{number}"))
                .spawn(move || run(&shared, &database))?;
            threads.push(thread);
        }
        let reader = Self(shared);
        Ok((ReaderThreads { reader: reader.clone(), threads: Mutex::new(threads) }, reader))
    }

    /// Runs `read` on a thread of the pool.
    pub(crate) async fn read<T, E>(
        &self,
        read: impl FnOnce(&Arc<Database>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let _permit = self.0.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        let (tx, rx) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move |database| {
            // The one who asked may have gone.
            let _ = tx.send(read(database));
        });
        {
            let mut jobs = self.0.jobs.lock();
            if jobs.stopped {
                return Err(StoreError::Closed.into());
            }
            jobs.waiting.push_back(job);
        }
        self.0.arrived.notify_one();
        rx.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }
}

impl ReaderThreads {
    /// Lets the threads finish what they do, drops what waits, and joins them. Blocks.
    pub(crate) fn stop(&self) {
        let shared = &self.reader.0;
        {
            let mut jobs = shared.jobs.lock();
            jobs.stopped = true;
            jobs.waiting.clear();
        }
        shared.arrived.notify_all();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("A reader thread has panicked.");
            }
        }
    }
}

fn run(shared: &Shared, database: &Arc<Database>) {
    loop {
        let job = {
            let mut jobs = shared.jobs.lock();
            loop {
                if jobs.stopped {
                    return;
                }
                if let Some(job) = jobs.waiting.pop_front() {
                    break job;
                }
                shared.arrived.wait(&mut jobs);
            }
        };
        job(database);
    }
}
