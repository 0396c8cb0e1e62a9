//! The life of a driver's task, as it and its owner see it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// By this an owner wakes its driver and gives it up, and sees whether the driver has come to its end.
#[derive(Debug, Default)]
pub(crate) struct Life {
    wake: Notify,
    is_abandoned: AtomicBool,
    is_over: AtomicBool,
}

/// For the owner.
impl Life {
    /// Has the driver look at what waits for it.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Says that nobody needs what the driver does.
    pub(crate) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether the driver has come to its end, rather than panicked.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

/// For the driver.
impl Life {
    /// Waits until the owner wakes the driver.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether the owner has given it up since it was asked last.
    pub(super) fn take_abandoned(&self) -> bool {
        self.is_abandoned.swap(false, Ordering::Acquire)
    }

    /// The driver has done all that it was there for.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}
