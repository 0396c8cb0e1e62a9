//! A turn for the driver on the thread that woke it.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};

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

/// Pending once if this thread owes the driver a turn; the task is woken at once.
#[inline]
pub(crate) fn poll_turn(cx: &Context<'_>) -> Poll<()> {
    if IS_OWED.take() {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

/// Gives way once if this thread owes the driver a turn.
pub(crate) async fn turn() {
    poll_fn(|cx| poll_turn(cx)).await;
}
