//! The runtime behind the blocking calls.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::runtime::{Builder, EnterGuard, Handle};

use crate::{Error, ErrorKind};

/// A runtime that ends with the last who holds it, and whose end waits for nobody. A clone is the same one.
#[derive(Clone, Debug)]
pub(super) struct Runtime(Arc<Owner>);

#[derive(Debug)]
struct Owner(Option<tokio::runtime::Runtime>, Handle);

impl Runtime {
    pub(super) fn start() -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.min(THREADS_MAX))
            .thread_name("milena")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|cause| {
            let detail = "the threads of the runtime could not be started";
            Error::new(ErrorKind::Connection).with_detail(detail).because(cause)
        })?;
        let handle = runtime.handle().clone();
        Ok(Self(Arc::new(Owner(Some(runtime), handle))))
    }

    /// Waits for `future` in this thread.
    pub(super) fn wait<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        // To block here would keep the runtime from what it is to do, perhaps from the very thing that is waited for.
        if Handle::try_current().is_ok() {
            let rule =
                "a blocking call was made from a thread of an async runtime; use the async call";
            return Err(Error::misuse(rule));
        }
        Ok(self.0.1.block_on(future))
    }

    /// Has tasks that are spawned in this thread run here.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.0.1.enter()
    }

    /// Goes on without the caller; the runtime lives until it is done.
    pub(super) fn finish(&self, work: impl Future<Output = ()> + Send + 'static) {
        let runtime = self.clone();
        self.0.1.spawn(async move {
            work.await;
            drop(runtime);
        });
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // To wait is not allowed everywhere, and a drop never blocks.
            runtime.shutdown_background();
        }
    }
}

/// One for the driver, one for connections, the rest to compress.
const THREADS_MAX: usize = 4;
