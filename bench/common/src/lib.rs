//! Shared by every Rust driver: the command line, the payload pool, the latency
//! histogram, getrusage and the one JSON line that a driver prints.
mod once;
#[cfg(feature = "pace")]
mod pace;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use once::{InOrder, Seen};
#[cfg(feature = "pace")]
pub use pace::Pace;

/// `MODE --name value ...`
#[derive(Clone)]
pub struct Args {
    pub mode: String,
    map: HashMap<String, String>,
}

impl Args {
    pub fn parse() -> Args {
        let mut it = std::env::args().skip(1);
        let mode = it.next().expect("produce|consume");
        let mut map = HashMap::new();
        while let Some(k) = it.next() {
            let v = it.next().unwrap_or_else(|| panic!("{k} needs a value"));
            map.insert(k.trim_start_matches("--").to_string(), v);
        }
        Args { mode, map }
    }
    pub fn get(&self, k: &str, default: &str) -> String {
        self.map.get(k).cloned().unwrap_or_else(|| default.to_string())
    }
    pub fn num(&self, k: &str, default: u64) -> u64 {
        self.map.get(k).map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("--{k} {v}")))
    }
    pub fn bootstrap(&self) -> String {
        self.get("bootstrap", "127.0.0.1:9092")
    }
    pub fn topic(&self) -> String {
        self.get("topic", "bench")
    }
    pub fn num_records(&self) -> u64 {
        self.num("num-records", 1_000_000)
    }
    pub fn partitions(&self) -> i32 {
        self.num("partitions", 6) as i32
    }
    pub fn idempotence(&self) -> bool {
        self.get("idempotence", "true") == "true"
    }
    /// Further settings of the client's own, as `--props name=value,...`.
    pub fn properties(&self) -> Vec<(String, String)> {
        let props = self.get("props", "");
        let pairs = props.split(',').filter(|s| !s.is_empty());
        pairs.map(|kv| kv.split_once('=').expect("name=value")).map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }
    /// As many keys as payloads, each of `--key-bytes` hex digits; none if that is 0.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let n = self.num("key-bytes", 0) as usize;
        if n == 0 {
            return Vec::new();
        }
        let mut x = 0x2545F4914F6CDD1Du64;
        (0..self.payloads().len())
            .map(|_| {
                let mut key = String::new();
                while key.len() < n {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    key.push_str(&format!("{x:016x}"));
                }
                key.truncate(n);
                key.into_bytes()
            })
            .collect()
    }
    pub fn buffer_memory(&self) -> usize {
        self.num("buffer-memory", 64 << 20) as usize
    }
    /// One payload per line of `--payload-file`; without one, `--record-size` letters.
    pub fn payloads(&self) -> Vec<Vec<u8>> {
        let f = self.get("payload-file", "");
        if f.is_empty() {
            let n = self.num("record-size", 100) as usize;
            let mut x = 0x9E3779B97F4A7C15u64;
            return (0..1000)
                .map(|_| {
                    (0..n)
                        .map(|_| {
                            x ^= x << 13;
                            x ^= x >> 7;
                            x ^= x << 17;
                            b'A' + (x % 26) as u8
                        })
                        .collect()
                })
                .collect();
        }
        let data = std::fs::read(&f).expect("payload file");
        data.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| l.to_vec()).collect()
    }
}

/// Log-linear histogram of nanoseconds: 64 sub-buckets per power of two (1.6 %).
pub struct Hist {
    b: Vec<AtomicU64>,
    max: AtomicU64,
}
impl Default for Hist {
    fn default() -> Self {
        Self::new()
    }
}
impl Hist {
    pub fn new() -> Hist {
        Hist { b: (0..64 * 64).map(|_| AtomicU64::new(0)).collect(), max: AtomicU64::new(0) }
    }
    pub fn record(&self, ns: u64) {
        let ns = ns.max(64);
        let e = 63 - ns.leading_zeros() as usize;
        let i = e * 64 + ((ns >> (e - 6)) & 63) as usize;
        self.b[i].fetch_add(1, Ordering::Relaxed);
        self.max.fetch_max(ns, Ordering::Relaxed);
    }
    /// Milliseconds at quantile `q`.
    pub fn q(&self, q: f64) -> f64 {
        let total: u64 = self.b.iter().map(|x| x.load(Ordering::Relaxed)).sum();
        if total == 0 {
            return 0.0;
        }
        let want = ((total as f64) * q).ceil() as u64;
        let mut seen = 0;
        for (i, x) in self.b.iter().enumerate() {
            seen += x.load(Ordering::Relaxed);
            if seen >= want {
                let (e, s) = (i / 64, (i % 64) as u64);
                return ((1u64 << e) + (s << (e.max(6) - 6))) as f64 / 1e6;
            }
        }
        self.max.load(Ordering::Relaxed) as f64 / 1e6
    }
    pub fn max_ms(&self) -> f64 {
        self.max.load(Ordering::Relaxed) as f64 / 1e6
    }
}

/// Nanoseconds since the driver's start, never 0; one clock for send and ack.
pub struct Clock(Instant);
impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
impl Clock {
    pub fn new() -> Clock {
        Clock(Instant::now())
    }
    pub fn ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64 + 1
    }
    pub fn secs(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Which records get a timestamp: all when throttled, else one of 8, so that
/// reading the clock is no part of what is measured.
pub fn sample_mask(throughput: u64) -> u64 {
    if throughput > 0 {
        0
    } else {
        7
    }
}

/// Sleeps so that record `i` goes out no sooner than `i / rate` seconds after start.
pub struct Throttle {
    start: Instant,
    rate: u64,
}
impl Throttle {
    pub fn new(rate: u64) -> Throttle {
        Throttle { start: Instant::now(), rate }
    }
    pub fn delay(&self, i: u64) -> Option<Duration> {
        if self.rate == 0 {
            return None;
        }
        let due = Duration::from_nanos(i * 1_000_000_000 / self.rate);
        let now = self.start.elapsed();
        if due > now {
            Some(due - now)
        } else {
            None
        }
    }
}

/// CPU seconds of the calling thread.
pub fn thread_seconds() -> f64 {
    unsafe {
        let mut t: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t);
        t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
    }
}

pub struct Usage {
    pub user: f64,
    pub sys: f64,
    pub rss_mib: f64,
}
pub fn usage() -> Usage {
    unsafe {
        let mut r: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut r);
        let t = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
        Usage { user: t(r.ru_utime), sys: t(r.ru_stime), rss_mib: r.ru_maxrss as f64 / 1024.0 }
    }
}

/// The one JSON line.
pub fn report(client: &str, op: &str, records: u64, bytes: u64, secs: f64, errors: u64, hist: Option<&Hist>) {
    let u = usage();
    let lat = hist.map_or(String::new(), |h| {
        format!(
            ",\"p50_ms\":{:.3},\"p99_ms\":{:.3},\"p999_ms\":{:.3},\"max_ms\":{:.3}",
            h.q(0.5),
            h.q(0.99),
            h.q(0.999),
            h.max_ms()
        )
    });
    println!(
        "{{\"client\":\"{client}\",\"op\":\"{op}\",\"records\":{records},\"bytes\":{bytes},\"errors\":{errors},\
         \"elapsed_s\":{secs:.4},\"records_per_s\":{:.0},\"mb_per_s\":{:.2},\"user_s\":{:.3},\"sys_s\":{:.3},\
         \"max_rss_mib\":{:.1}{lat}}}",
        records as f64 / secs,
        bytes as f64 / 1e6 / secs,
        u.user,
        u.sys,
        u.rss_mib
    );
}
