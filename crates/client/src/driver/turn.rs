//! A turn for the driver on the thread that woke it.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::pace::Pace;

// tokio has a woken task run next on the thread that woke it, and no other thread takes it from there. A task that
// sends and never waits would keep the driver from running until the buffer is full; so it gives way once after it has
// woken the driver. By thread, because the slot is the thread's.
thread_local! {
    static IS_OWED: Cell<bool> = const { Cell::new(false) };
}

/// The driver was woken: whoever sends next on this thread gives way to it.
pub(crate) fn owe() {
    IS_OWED.set(true);
}

/// The driver runs on this thread.
pub(super) fn pay() {
    IS_OWED.set(false);
}

/// Whether this thread owes the driver a turn; it does no more.
#[inline]
pub(crate) fn take() -> bool {
    IS_OWED.take()
}

/// Gives way once if this thread owes the driver a turn, and rests where more is sent than stored.
pub(crate) async fn turn(pace: &Pace) {
    if !take() {
        return;
    }
    if pace.is_due() {
        return pace.rest(Duration::MAX).await;
    }
    let mut was_pending = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut was_pending, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
