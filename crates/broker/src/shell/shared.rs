//! The machine under its lock, and what ties it to tasks.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use milena_types::NodeId;
use milena_wire::Frame;
use tokio::sync::{Notify, mpsc};

use super::data_dir::DataDir;
use crate::cluster::{Cluster, Output};
use crate::connection::ConnectionId;

/// A running cluster, shared by its handle, its timer and a pump per connection.
#[derive(Debug)]
pub(super) struct Shared {
    running: Mutex<Running>,
    /// Wakes the timer: its deadline came nearer, or all is over.
    timer: Notify,
    /// Wakes every pump that waits for requests to be read: the machine did something. An answer is no sign of it,
    /// since not every request has one.
    pub(super) worked: Notify,
}

#[derive(Debug)]
struct Running {
    cluster: Cluster,
    /// The pumps by connection; a pump whose entry is gone closes its stream.
    pumps: BTreeMap<ConnectionId, Arc<Outbox>>,
    /// When the timer wakes by itself.
    armed: Option<Instant>,
    is_stopped: bool,
    data_dir: Option<DataDir>,
    /// Why the cluster stopped by itself.
    failure: Option<(io::ErrorKind, String)>,
}

/// What one pump is to write.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: mpsc::UnboundedSender<Option<Frame>>,
    /// Bytes in `frames`; a client that does not read is not read from.
    bytes: AtomicUsize,
    /// Rung whenever frames were written.
    pub(super) written: Notify,
    /// Rung once the connection is to be closed.
    pub(super) closing: Notify,
}

/// The pump's end of an [`Outbox`]: frames, and `None` to close.
pub(super) type Inbox = mpsc::UnboundedReceiver<Option<Frame>>;

impl Outbox {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn note_written(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.written.notify_one();
    }

    fn push(&self, frame: Option<Frame>) {
        match &frame {
            Some(frame) => _ = self.bytes.fetch_add(frame.len(), Ordering::Relaxed),
            None => self.closing.notify_one(),
        }
        // The pump may be gone already; then nobody reads.
        let _ = self.frames.send(frame);
    }
}

impl Running {
    fn store(&mut self, piece: &[u8]) -> io::Result<()> {
        // After a failure nobody is answered: there are no pumps any more.
        let Some(data_dir) = self.data_dir.as_mut().filter(|_| self.failure.is_none()) else {
            return Ok(());
        };
        data_dir.append(piece)?;
        if data_dir.is_long() {
            data_dir.rewrite(&self.cluster);
        }
        Ok(())
    }

    /// Ends the timer and every pump.
    fn stop(&mut self) {
        self.is_stopped = true;
        // Tasks that are about to end hold the rest for a while: another cluster may have the directory at once.
        self.data_dir = None;
        for outbox in std::mem::take(&mut self.pumps).into_values() {
            outbox.push(None);
        }
    }
}

impl Shared {
    pub(super) fn new(cluster: Cluster, data_dir: Option<DataDir>) -> Self {
        let running = Running {
            cluster,
            pumps: BTreeMap::new(),
            armed: None,
            is_stopped: false,
            data_dir,
            failure: None,
        };
        Self { running: Mutex::new(running), timer: Notify::new(), worked: Notify::new() }
    }

    /// Works on the machine and carries out what it wants done.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        let now = now();
        let mut running = self.lock();
        let result = work(&mut running.cluster, now);
        self.carry_out(&mut running, now);
        result
    }

    /// Why nothing can be written down any more.
    pub(super) fn store_failure(&self) -> Option<io::Error> {
        let (kind, message) = self.lock().failure.clone()?;
        Some(io::Error::new(kind, message))
    }

    /// Looks at the machine and changes nothing.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Cluster) -> T) -> T {
        look(&self.lock().cluster)
    }

    /// A client connects.
    pub(super) fn open(&self, node: NodeId) -> io::Result<(ConnectionId, Arc<Outbox>, Inbox)> {
        let now = now();
        let mut running = self.lock();
        if running.is_stopped {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "the cluster has stopped",
            ));
        }
        let refuse = |error| io::Error::new(io::ErrorKind::ConnectionRefused, error);
        let connection = running.cluster.open(now, node).map_err(refuse)?;
        let (sender, inbox) = mpsc::unbounded_channel();
        let outbox = Arc::new(Outbox {
            frames: sender,
            bytes: AtomicUsize::new(0),
            written: Notify::new(),
            closing: Notify::new(),
        });
        running.pumps.insert(connection, Arc::clone(&outbox));
        Ok((connection, outbox, inbox))
    }

    /// A frame came in.
    pub(super) fn handle(&self, connection: ConnectionId, frame: Bytes) {
        self.with(|cluster, now| cluster.handle(now, connection, frame));
    }

    /// Whether too much of the connection waits to be read.
    pub(super) fn is_behind(&self, connection: ConnectionId) -> bool {
        self.look(|cluster| cluster.is_behind(connection))
    }

    /// The client is gone, or the pump gave up.
    pub(super) fn close(&self, connection: ConnectionId) {
        let now = now();
        let mut running = self.lock();
        if running.pumps.remove(&connection).is_some() {
            running.cluster.close(now, connection);
            self.carry_out(&mut running, now);
        }
    }

    /// Ends the timer and every pump.
    pub(super) fn stop(&self) {
        self.lock().stop();
        self.timer.notify_one();
    }

    /// Calls the machine whenever it is due, until the cluster stops.
    pub(super) async fn keep_time(&self) {
        loop {
            let deadline = {
                let mut running = self.lock();
                if running.is_stopped {
                    return;
                }
                running.armed = running.cluster.poll_timeout();
                running.armed
            };
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.timer.notified() => {}
                () = due => self.with(Cluster::handle_timeout),
            }
        }
    }

    fn carry_out(&self, running: &mut Running, now: Instant) {
        while let Some(output) = running.cluster.poll_output(now) {
            match output {
                Output::Store { piece } => {
                    if let Err(error) = running.store(&piece) {
                        running.failure.get_or_insert((error.kind(), error.to_string()));
                        running.stop();
                        self.timer.notify_one();
                    }
                }
                Output::Reply { connection, frame } => {
                    if let Some(outbox) = running.pumps.get(&connection) {
                        outbox.push(Some(frame));
                    }
                }
                Output::Close { connection } => {
                    if let Some(outbox) = running.pumps.remove(&connection) {
                        outbox.push(None);
                    }
                }
            }
        }
        let due = running.cluster.poll_timeout();
        if due.is_some_and(|due| running.armed.is_none_or(|armed| due < armed)) {
            running.armed = due;
            self.timer.notify_one();
        }
        self.worked.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        // A panic inside the machine is a defect; what others ask of it is answered all the same.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// tokio's clock, so that a paused one holds for the cluster too.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
