//! Sends at a rate, to the microsecond.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::Throttle;

/// A [`Throttle`] for async programs, on a timer of the kernel's.
///
/// tokio's own timers fire on whole milliseconds and a little late, so that at 1,000 a second every other record would go out
/// right behind the one before, where programs with threads send one each millisecond.
pub struct Pace {
    throttle: Throttle,
    timer: AsyncFd<OwnedFd>,
}

impl Pace {
    pub fn new(rate: u64) -> Pace {
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        assert!(fd >= 0, "timerfd_create: {}", io::Error::last_os_error());
        let timer = unsafe { OwnedFd::from_raw_fd(fd) };
        #[allow(deprecated)] // What is to replace it is unsafe for files that are not owned; this one is.
        let timer = AsyncFd::with_interest(timer, Interest::READABLE).expect("a timer");
        Pace { throttle: Throttle::new(rate), timer }
    }

    /// Waits until record `i` is due.
    pub async fn wait(&mut self, i: u64) {
        if let Some(wait) = self.throttle.delay(i) {
            self.set(wait);
            self.timer.readable().await.expect("a timer").clear_ready();
        }
    }

    fn set(&self, wait: Duration) {
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = libc::timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos() as _ };
        let spec = libc::itimerspec { it_interval: zero, it_value: value };
        // Setting it takes back what has fired: nothing need be read.
        let set = unsafe { libc::timerfd_settime(self.timer.as_raw_fd(), 0, &spec, std::ptr::null_mut()) };
        assert_eq!(set, 0, "timerfd_settime: {}", io::Error::last_os_error());
    }
}
