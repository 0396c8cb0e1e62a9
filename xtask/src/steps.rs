//! Named, timed steps and the table of how they went.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;

/// One check among many. All steps run, whatever the ones before them said.
pub(crate) struct Step {
    name: String,
    /// What to type to see this step's failure again.
    repeat: String,
    work: Work,
}

type Work = Box<dyn FnOnce() -> Result<Done>>;

/// How a step ended when it did not fail.
pub(crate) enum Done {
    /// It held, with a figure worth a line in the table.
    Passed(String),
    /// It could not be run here, and why. Said loudly.
    NotRun(String),
}

impl Step {
    /// A step that is a command; repeating it is typing it again.
    pub(crate) fn command(name: impl Into<String>, mut command: Command) -> Self {
        let repeat = as_typed(&command);
        Self::new(name, repeat, move || {
            let status = command.status()?;
            if status.success() {
                Ok(Done::Passed(String::new()))
            } else {
                Err(status.to_string().into())
            }
        })
    }

    /// A step that is a function.
    pub(crate) fn new(
        name: impl Into<String>,
        repeat: impl Into<String>,
        work: impl FnOnce() -> Result<Done> + 'static,
    ) -> Self {
        Self { name: name.into(), repeat: repeat.into(), work: Box::new(work) }
    }

    /// What the table calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The same step, failing for this reason instead of being run.
    pub(crate) fn failing(self, why: String) -> Self {
        Self { work: Box::new(move || Err(why.into())), ..self }
    }

    /// A step that cannot be run here.
    pub(crate) fn not_run(name: impl Into<String>, why: impl Into<String>) -> Self {
        let why = why.into();
        Self::new(name, "", move || Ok(Done::NotRun(why)))
    }
}

/// Runs the steps in their order and prints the table.
///
/// # Errors
/// The last line of the table, when a step failed.
pub(crate) fn run(steps: Vec<Step>) -> Result {
    let mut table = Table::default();
    for step in steps {
        println!("\n=== {}", step.name);
        let started = now();
        let outcome = (step.work)();
        let row = Row { name: step.name, took: started.elapsed(), repeat: step.repeat, outcome };
        println!("{}", row.line());
        table.rows.push(row);
    }
    println!("\n{}", table.text());
    if table.failed() == 0 { Ok(()) } else { Err("some checks failed".into()) }
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    took: Duration,
    repeat: String,
    outcome: Result<Done>,
}

impl Row {
    fn line(&self) -> String {
        let seconds = self.took.as_secs_f64();
        let name = &self.name;
        match &self.outcome {
            Ok(Done::Passed(note)) => {
                format!("passed   {seconds:>7.1} s  {name:<42} {note}").trim_end().to_owned()
            }
            Ok(Done::NotRun(why)) => format!("NOT RUN           -  {name:<42} {why}"),
            Err(e) => format!("FAILED   {seconds:>7.1} s  {name:<42} {e}"),
        }
    }
}

impl Table {
    fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.outcome.is_err()).count()
    }

    fn text(&self) -> String {
        let mut text = String::from("==== summary\n");
        for row in &self.rows {
            // Writing to a String does not fail.
            _ = writeln!(text, "{}", row.line());
            if row.outcome.is_err() {
                _ = writeln!(text, "         repeat:    {}", row.repeat);
            }
        }
        let passed = self.rows.iter().filter(|r| matches!(r.outcome, Ok(Done::Passed(_)))).count();
        let not_run = self.rows.len() - passed - self.failed();
        if not_run > 0 {
            _ = writeln!(text, "!!!! {not_run} NOT RUN: what they would have found is not known");
        }
        _ = write!(text, "{passed} passed, {} failed", self.failed());
        text
    }
}

/// A command as one would type it in the workspace root.
pub(crate) fn as_typed(command: &Command) -> String {
    let mut typed = String::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            _ = write!(typed, "{}={} ", key.display(), quoted(&value.display().to_string()));
        }
    }
    let program = std::path::Path::new(command.get_program());
    typed += &program.file_name().unwrap_or(program.as_os_str()).display().to_string();
    for arg in command.get_args() {
        typed.push(' ');
        typed += &quoted(&arg.display().to_string());
    }
    typed
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[expect(clippy::disallowed_methods, reason = "a chore measures the wall clock for people")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, outcome: Result<Done>) -> Row {
        Row { name: name.into(), took: Duration::ZERO, repeat: format!("do {name}"), outcome }
    }

    #[test]
    fn a_failed_step_says_how_to_repeat_it_and_fails_the_whole() {
        let failing = Step::new("bad", "do bad", || Err("no".into()));
        let after = Step::new("good", "do good", || Ok(Done::Passed(String::new())));
        assert!(run(vec![failing, after]).is_err());
        let table = Table { rows: vec![row("bad", Err("no".into()))] };
        assert!(table.text().contains("repeat:    do bad"), "{}", table.text());
    }

    #[test]
    fn what_was_not_run_is_said_and_not_counted_as_passed() {
        let table = Table {
            rows: vec![
                row("a", Ok(Done::Passed(String::new()))),
                row("b", Ok(Done::NotRun("no java".into()))),
            ],
        };
        assert!(table.text().contains("NOT RUN"));
        assert!(table.text().ends_with("1 passed, 0 failed"), "{}", table.text());
    }

    #[test]
    fn a_command_is_printed_so_that_a_shell_reads_it_back() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["doc", "--no-deps", "a b"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(as_typed(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'a b'");
    }
}
