//! A producer whose driver and connections have a thread to themselves, so that what they cost can be told apart.

use std::thread;

use bench_common::{Args, thread_seconds};
use milena::Producer;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

pub struct Apart {
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<f64>,
}

impl Apart {
    pub async fn start(a: &Args) -> milena::Result<(Producer, Self)> {
        let (built, producer) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let a = a.clone();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let _ = built.send(crate::producer(&a).await);
                let _ = ended.await;
            });
            thread_seconds()
        });
        let producer = producer.await.expect("the driver's thread")?;
        Ok((producer, Self { end, thread }))
    }

    /// The CPU seconds that the thread has used.
    pub fn end(self) -> f64 {
        let _ = self.end.send(());
        self.thread.join().expect("the driver's thread")
    }
}
