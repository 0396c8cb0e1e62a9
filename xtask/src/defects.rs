//! `cargo xtask defects`: plants known defects in a copy of the sources, one at a time, and has simulation find each.
//!
//! A simulation that finds nothing may have gone blind. Each file of `sim/defects` says what is wrong, in which file,
//! and which text becomes which:
//!
//! ```text
//! What goes wrong, in a line.
//! file: crates/engine/src/producer/flush.rs
//! <<<<
//! the text as it is, once in the file
//! ====
//! the text with the defect
//! >>>>
//! ```
//!
//! `file:` and the texts may come several times. `worlds: shares` or `worlds: copies`, before them, has it found in worlds with a share
//! group or with copies, else it is in those with groups.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::cargo::{cargo, output, root};

/// What `cargo xtask defects` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only those whose name contains this.
    name: Option<String>,
    /// Seeds within which each must be found.
    #[arg(long, default_value_t = 500)]
    seeds: u32,
    /// Worlds at a time.
    #[arg(long, default_value_t = 2)]
    jobs: u32,
}

/// What a file of `sim/defects` says.
#[derive(Debug, Eq, PartialEq)]
struct Defect {
    name: String,
    what: String,
    /// The option of `milena-sim` that draws the worlds in which it shows.
    worlds: &'static str,
    edits: Vec<Edit>,
}

#[derive(Debug, Eq, PartialEq)]
struct Edit {
    file: String,
    old: String,
    new: String,
}

/// Plants each defect and runs the seeds.
///
/// # Errors
/// When a defect was not found, does not compile, or does not fit the sources any more.
pub(crate) fn run(args: &Args) -> Result {
    let mut defects = load()?;
    defects.retain(|defect| args.name.as_ref().is_none_or(|name| defect.name.contains(name)));
    let tree = root().join("target/defects/tree");
    let mut is_good = !defects.is_empty();
    println!("| defect | what it does | found by | at seed |\n| --- | --- | --- | --- |");
    for defect in &defects {
        copy(&tree)?;
        let found = plant(&tree, defect).and_then(|()| hunt(&tree, defect, args));
        is_good &= matches!(found, Ok(Some(_)));
        let (property, seed) = match found {
            Ok(Some(found)) => found,
            Ok(None) => ("NOT FOUND".to_owned(), String::new()),
            Err(e) => (format!("NOT RUN: {e}"), String::new()),
        };
        println!("| `{}` | {} | {property} | {seed} |", defect.name, defect.what);
    }
    copy(&tree)?;
    if is_good { Ok(()) } else { Err("simulation is blind to a defect".into()) }
}

fn load() -> Result<Vec<Defect>> {
    let folder = root().join("sim/defects");
    let mut defects = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path)?;
        defects.push(parse(&name, &text).map_err(|why| format!("{name}: {why}"))?);
    }
    defects.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(defects)
}

fn parse(name: &str, text: &str) -> std::result::Result<Defect, String> {
    let mut what = String::new();
    let mut worlds = "--with-groups";
    let mut file = String::new();
    let mut edits = Vec::new();
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        if let Some(path) = line.strip_prefix("file: ") {
            path.clone_into(&mut file);
        } else if line == "worlds: shares" {
            worlds = "--with-shares";
        } else if line == "worlds: copies" {
            worlds = "--with-copies";
        } else if line == "<<<<" {
            let (old, after) = rest.split_once("====\n").ok_or("no ==== after <<<<")?;
            let (new, after) = after.split_once(">>>>\n").ok_or("no >>>> after ====")?;
            edits.push(Edit { file: file.clone(), old: old.to_owned(), new: new.to_owned() });
            rest = after;
        } else if what.is_empty() {
            line.clone_into(&mut what);
        }
    }
    if what.is_empty() || edits.iter().any(|edit| edit.file.is_empty()) || edits.is_empty() {
        return Err("it must say what it does, to which file, and how".to_owned());
    }
    Ok(Defect { name: name.to_owned(), what, worlds, edits })
}

/// Makes the copy equal to the sources. Files that did not change are not touched, so that cargo builds only what did.
fn copy(tree: &Path) -> Result {
    let mut git = Command::new("git");
    git.args(["ls-files", "-co", "--exclude-standard", "-z"]).current_dir(root());
    for path in output(&mut git)?.split_terminator('\0') {
        let Ok(bytes) = std::fs::read(root().join(path)) else { continue };
        let to = tree.join(path);
        if std::fs::read(&to).ok().as_ref() != Some(&bytes) {
            std::fs::create_dir_all(to.parent().unwrap_or(tree))?;
            std::fs::write(&to, bytes)?;
        }
    }
    Ok(())
}

fn plant(tree: &Path, defect: &Defect) -> Result {
    for edit in &defect.edits {
        let path = tree.join(&edit.file);
        let text = std::fs::read_to_string(&path)?;
        std::fs::write(&path, apply(&text, edit)?)?;
    }
    Ok(())
}

fn apply(text: &str, edit: &Edit) -> std::result::Result<String, String> {
    match text.matches(&edit.old).count() {
        1 => Ok(text.replacen(&edit.old, &edit.new, 1)),
        times => Err(format!("its text is {times} times in {}", edit.file)),
    }
}

/// The property that broke first, and the seed; `None` if all held.
fn hunt(tree: &Path, defect: &Defect, args: &Args) -> Result<Option<(String, String)>> {
    let build: PathBuf = root().join("target/defects/build");
    let mut cargo = cargo();
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", &build);
    cargo.args(["build", "--quiet", "--profile", "sim", "--package", "milena-sim"]);
    output(&mut cargo)?;
    let mut sim = Command::new(build.join("sim/milena-sim"));
    let (seeds, jobs) = (args.seeds.to_string(), args.jobs.to_string());
    sim.args([
        "seeds",
        defect.worlds,
        "--fresh",
        "--failures",
        "1",
        "--count",
        &seeds,
        "--jobs",
        &jobs,
    ]);
    let said = String::from_utf8(sim.output()?.stdout)?;
    Ok(said.lines().find_map(verdict))
}

/// Reads `seed 7: P1: what was wrong`.
fn verdict(line: &str) -> Option<(String, String)> {
    let (seed, why) = line.strip_prefix("seed ")?.split_once(": ")?;
    let property = why.split_once(':').map_or(why, |(property, _)| property);
    Some((property.to_owned(), seed.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Nothing works.\nfile: a.rs\n<<<<\nlet a = 1;\n====\nlet a = 2;\n>>>>\n";

    #[test]
    fn a_defect_that_fits_is_planted() {
        let defect = parse("a", TEXT).unwrap();
        assert_eq!(defect.what, "Nothing works.");
        assert_eq!(apply("{\nlet a = 1;\n}", &defect.edits[0]).unwrap(), "{\nlet a = 2;\n}");
    }

    /// A stale defect would be a defect that is never planted.
    #[test]
    fn a_text_that_is_gone_or_ambiguous_is_an_error() {
        let defect = parse("a", TEXT).unwrap();
        assert!(apply("let b = 1;\n", &defect.edits[0]).is_err());
        assert!(apply("let a = 1;\nlet a = 1;\n", &defect.edits[0]).is_err());
        assert!(parse("a", "Nothing.\n<<<<\n").is_err());
    }

    #[test]
    fn the_first_failure_is_read() {
        assert_eq!(verdict("seed 7: P1: lost: all"), Some(("P1".into(), "7".into())));
        assert_eq!(verdict("500 worlds, 4.6 simulated hours"), None);
    }

    #[test]
    fn every_defect_fits_the_sources() {
        for defect in load().unwrap() {
            for edit in &defect.edits {
                let text = std::fs::read_to_string(root().join(&edit.file)).unwrap();
                apply(&text, edit).map_err(|why| format!("{}: {why}", defect.name)).unwrap();
            }
        }
    }
}
