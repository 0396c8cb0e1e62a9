//! `cargo xtask test`: every check there is, in the order in which they fail fastest.

use std::collections::BTreeSet;
use std::process::Command;

use crate::Result;
use crate::cargo::{Graph, cargo, default_graph, output, root};
use crate::steps::{self, Done, Step};
use crate::{fuzz, packages, tidy};

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fail when the suite cannot run on real Kafka (needs python3, a JDK and Maven). CI=true says the same.
    #[arg(long)]
    real: bool,
    /// Only formatting, lints, tests, tidy, a few simulated worlds and a very short fuzz run.
    #[arg(long, conflicts_with = "real")]
    quick: bool,
}

/// A user of the library waits for these.
const CLIENT_GRAPH_MAX: usize = 50;

/// As many as were looked at.
const KNOWN_WORLDS: u32 = 500;

/// How long the fuzz targets run in all, after their corpora.
const FUZZ_SECONDS: u64 = 20;
const FUZZ_SECONDS_QUICK: u64 = 5;

/// Runs all steps.
///
/// # Errors
/// When a step failed; the table says which and how to repeat it.
pub(crate) fn run(args: &Args) -> Result {
    let graph = Graph::load()?;
    let required = args.real || is_ci();
    let mut plan = vec![
        Step::command("format", in_workspace(["fmt", "--all", "--check"])),
        Step::new("tidy", "cargo xtask tidy", || tidy::run().map(|()| passed())),
    ];
    plan.extend(lints(&graph));
    plan.push(Step::command("unit, property and integration tests", tests(required)));
    plan.push(Step::command(
        "configuration reference",
        in_workspace(["xtask", "config", "--check"]),
    ));
    plan.push(simulation(if args.quick { 200 } else { 20_000 })?);
    for with in ["--with-shares", "--with-copies"] {
        plan.push(known_worlds(with, if args.quick { 100 } else { KNOWN_WORLDS }));
    }
    let seconds = if args.quick { FUZZ_SECONDS_QUICK } else { FUZZ_SECONDS };
    plan.push(Step::command("short fuzz run", fuzz::command(seconds, None)));
    if !args.quick {
        plan.push(day_of_groups());
        plan.push(Step::command("doc tests", in_workspace(["test", "--workspace", "--doc"])));
        plan.push(Step::command("docs", docs()));
        plan.push(demo());
        plan.push(client_graph());
        plan.push(advisories());
        plan.push(packages::step(&graph));
        plan.push(generated_code(required));
        plan.extend(suites(required));
        plan.extend(judges(required));
    }
    steps::run(plan)
}

/// One run a package: features of one crate must not lend themselves to another.
fn lints(graph: &Graph) -> Vec<Step> {
    let members = graph.members();
    let lint = |name: &&str| {
        let clippy = in_workspace(["clippy", "--quiet", "--all-targets", "--package", name]);
        Step::command(format!("clippy {name}"), then(clippy, &["--", "-D", "warnings"]))
    };
    members.keys().map(lint).collect()
}

/// Everything but doc tests, which are a step of their own.
fn tests(java_required: bool) -> Command {
    let mut tests = in_workspace([
        "test",
        "--workspace",
        "--quiet",
        // One that fails must not hide the others.
        "--no-fail-fast",
        "--lib",
        "--bins",
        "--tests",
        "--examples",
    ]);
    if java_required {
        // `records` exchanges batches with Kafka's own classes; without it that test only says that it did not run.
        tests.env("MILENA_REQUIRE_JAVA", "1");
    }
    tests
}

fn docs() -> Command {
    let mut docs = in_workspace(["doc", "--workspace", "--no-deps", "--quiet"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    docs
}

/// Worlds whose seeds the commit decides: each commit looks elsewhere, and a failure can be repeated.
fn simulation(seeds: u32) -> Result<Step> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--short=12", "HEAD"]).current_dir(root());
    let base = u64::from_str_radix(output(&mut git)?.trim(), 16)?.to_string();
    let sim = in_workspace(["run", "--quiet", "--profile", "sim", "--package", "milena-sim"]);
    let seeds = seeds.to_string();
    let sim = then(sim, &["--", "seeds", "--with-groups", "--from", &base, "--count", &seeds]);
    Ok(Step::command(format!("{seeds} simulated worlds"), sim))
}

/// Worlds that `with` draws: the same each time, as no more of them were looked at yet.
fn known_worlds(with: &str, seeds: u32) -> Step {
    let sim = in_workspace(["run", "--quiet", "--profile", "sim", "--package", "milena-sim"]);
    let seeds = seeds.to_string();
    let sim = then(sim, &["--", "seeds", with, "--fresh", "--from", "0", "--count", &seeds]);
    Step::command(format!("{seeds} simulated worlds {with}"), sim)
}

/// A day of each kind of group, whose members come and go.
fn day_of_groups() -> Step {
    let sim = in_workspace(["run", "--quiet", "--profile", "sim", "--package", "milena-sim"]);
    Step::command("a simulated day of groups", then(sim, &["--", "day"]))
}

/// What the README promises to a newcomer.
fn demo() -> Step {
    Step::command("demo", in_workspace(["run", "--quiet", "--release", "--", "demo"]))
}

fn client_graph() -> Step {
    let repeat = "cargo tree --package milena --edges normal,build --prefix none";
    Step::new("what a user of the library builds", repeat, || {
        let crates: BTreeSet<String> = default_graph("milena")?;
        let note = format!("{} crates", crates.len());
        if crates.len() < CLIENT_GRAPH_MAX {
            Ok(Done::Passed(note))
        } else {
            Err(format!("{note}; under {CLIENT_GRAPH_MAX} is the promise").into())
        }
    })
}

/// Known vulnerabilities; `tidy` has seen to bans and licences already. Not required in CI: its database is on a host
/// that a closed network does not reach.
fn advisories() -> Step {
    let name = "advisories";
    if in_workspace(["deny", "--version"]).output().is_ok_and(|o| o.status.success()) {
        Step::command(name, in_workspace(["deny", "check"]))
    } else {
        Step::not_run(name, "cargo-deny is not installed: cargo install --locked cargo-deny")
    }
}

/// What Maven needs, and what starts real brokers.
const JAVA: [&str; 2] = ["java", "mvn"];
const KAFKA: [&str; 3] = ["python3", "java", "mvn"];

fn generated_code(required: bool) -> Step {
    let check = in_workspace(["xtask", "codegen", "--check"]);
    with(&JAVA, required, Step::command("generated code is up to date", check))
}

/// The same scenarios on each: newest, newest with three brokers, and old ones down to what KIP-896 has left.
const REAL_CLUSTERS: [&str; 5] = ["4.4.0", "4.4.0-x3", "3.9.2", "2.8.2", "2.1.1"];

/// Releases that the embedded broker plays, and who shows how.
const OLDER_RELEASES: [(&str, &str); 3] =
    [("embedded-as3.9", "3.9.2"), ("embedded-as2.8", "2.8.2"), ("embedded-as2.1", "2.1.1")];

/// The suite of `protocol-tests`, one step a cluster, and the comparison of answers.
fn suites(required: bool) -> Vec<Step> {
    let run = |args: &[&str]| {
        then(in_workspace(["run", "--quiet", "--package", "protocol-tests", "--"]), args)
    };
    let on = |cluster: &&str| {
        let suite = Step::command(format!("suite on Kafka {cluster}"), run(&["suite", cluster]));
        with(&KAFKA, required, suite)
    };
    let embedded = ["embedded", "embedded-x3"];
    let embedded = embedded.iter().map(|cluster| {
        // Java's tools judge the embedded broker too.
        let suite = Step::command(format!("suite on {cluster}"), run(&["suite", cluster]));
        with(&KAFKA, required, suite)
    });
    // Transactions by the protocol before KIP-890.
    let older = ["embedded-tv1", "4.4.0-tv1"];
    let older_suites = older.iter().map(|cluster| {
        let only = run(&["suite", cluster, "--only", "transactions"]);
        with(&KAFKA, required, Step::command(format!("transactions on {cluster}"), only))
    });
    let only = run(&["suite", "4.4.0-unstable", "--only", "two_phase"]);
    let two_phase = Step::command("two-phase commit on Kafka 4.4.0", only);
    let rights = ["embedded-acl", "4.4.0-acl"];
    let rights_suite = Step::command("rights on both", {
        run(&[&["suite"], &rights[..], &["--only", "rights"]].concat())
    });
    let compare = [
        Step::command(
            "rights are judged as by Kafka 4.4.0",
            run(&[&["compare"], &rights[..]].concat()),
        ),
        Step::command("embedded answers as Kafka 4.4.0", run(&["compare"])),
        Step::command("older transactions are answered as by Kafka 4.4.0", {
            run(&[&["compare"], &older[..]].concat())
        }),
    ];
    let old = OLDER_RELEASES.iter().map(|(played, real)| {
        let compare = run(&["compare", played, real]);
        Step::command(format!("embedded plays Kafka {real}"), compare)
    });
    let compare = compare.into_iter().chain(old).map(|step| with(&KAFKA, required, step));
    let real = REAL_CLUSTERS.iter().map(on);
    let real = real.chain([two_phase, rights_suite].map(|step| with(&KAFKA, required, step)));
    embedded.chain(older_suites).chain(compare).chain(real).collect()
}

/// Both, so that what a judge finds here is known to hold of Kafka.
const JUDGED: [&str; 2] = ["embedded", "4.4.0"];

/// Other people's clients, where they are installed. Not required in CI, which installs them as far as it can: their
/// registries are hosts that a closed network does not reach. Java's judge is in the suite.
fn judges(required: bool) -> Vec<Step> {
    let mut franz_go = Command::new("go");
    franz_go
        .args(["list", "-deps", "."])
        .current_dir(root().join("protocol-tests/judges/franz-go"));
    // What is not there already must not be waited for.
    franz_go.env("GOPROXY", "off");
    let mut librdkafka = Command::new("python3");
    librdkafka.args(["-c", "import confluent_kafka"]);
    let mut streams = Command::new("mvn");
    streams.args(["-o", "-q", "dependency:copy-dependencies"]);
    let jars = root().join("target/debug/judge-streams");
    streams.arg(format!("-DoutputDirectory={}", jars.display()));
    streams.current_dir(root().join("protocol-tests/judges/streams"));
    let judges = [
        (
            "Kafka Streams",
            "kafka_streams",
            streams,
            "in protocol-tests/judges/streams: mvn dependency:copy-dependencies (JDK 17 or later)",
        ),
        (
            "franz-go",
            "franz_go",
            franz_go,
            "in protocol-tests/judges/franz-go: go mod download (Go 1.21 or later)",
        ),
        (
            "librdkafka",
            "librdkafka",
            librdkafka,
            "pip install -r protocol-tests/judges/librdkafka/requirements.txt",
        ),
    ];
    let steps = judges.into_iter().flat_map(|(client, only, mut probe, needs)| {
        let is_there = probe.output().is_ok_and(|o| o.status.success());
        JUDGED.map(|cluster| {
            let name = format!("{client} on {cluster}");
            if !is_there {
                return Step::not_run(name, needs);
            }
            let suite = in_workspace(["run", "--quiet", "--package", "protocol-tests", "--"]);
            let suite = then(suite, &["suite", cluster, "--soak", "--only", only]);
            let step = Step::command(name, suite);
            if cluster == "embedded" { step } else { with(&KAFKA, required, step) }
        })
    });
    steps.collect()
}

/// The step, if the programs that it starts are installed.
fn with(programs: &[&str], required: bool, step: Step) -> Step {
    let missing: Vec<_> = programs.iter().filter(|program| !is_installed(program)).collect();
    if missing.is_empty() {
        return step;
    }
    let missing: Vec<_> = missing.into_iter().copied().collect();
    let why = format!("install {} to run it", missing.join(", "));
    if required { step.failing(why) } else { Step::not_run(step.name(), why) }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// CI has everything installed: what it cannot run, it must not pass over.
fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

fn in_workspace<const N: usize>(args: [&str; N]) -> Command {
    let mut command = cargo();
    command.args(args);
    command
}

fn then(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

fn passed() -> Done {
    Done::Passed(String::new())
}
