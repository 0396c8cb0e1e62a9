//! The cargo that started us, and what it knows of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::Result;

/// The workspace root, whatever folder the chore was started in.
pub(crate) fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// A command of the cargo that started us, in the workspace root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The dependency graph over all features and all platforms.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Graph {
    /// Every package in it, ours included.
    pub(crate) packages: Vec<Package>,
    /// Ids of our own packages.
    pub(crate) workspace_members: BTreeSet<String>,
}

/// One package of the graph.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) links: Option<String>,
    /// Registries it may be published to: an empty list says that it is not.
    pub(crate) publish: Option<Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// One line of a package's dependencies.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None`, `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// Something that a package builds.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Target {
    /// `lib`, `bin`, `test`, `bench`, `example`, `custom-build`, `proc-macro`.
    pub(crate) kind: Vec<String>,
}

impl Graph {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--format-version", "1", "--all-features"]);
        Ok(serde_json::from_str(&output(&mut command)?)?)
    }

    /// Our own packages, by name.
    pub(crate) fn members(&self) -> BTreeMap<&str, &Package> {
        let ours = self.packages.iter().filter(|p| self.workspace_members.contains(&p.id));
        ours.map(|p| (p.name.as_str(), p)).collect()
    }

    /// Packages of others.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|p| !self.workspace_members.contains(&p.id))
    }
}

impl Package {
    /// Whether it goes to the registry.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }

    /// Whether others can depend on it.
    pub(crate) fn is_library(&self) -> bool {
        self.targets.iter().any(|t| t.kind.iter().any(|k| k == "lib"))
    }
}

/// Names and versions of the packages that a user of `package` builds by default on this platform.
pub(crate) fn default_graph(package: &str) -> Result<BTreeSet<String>> {
    let mut command = cargo();
    command.args(["tree", "--package", package, "--edges", "normal,build", "--prefix", "none"]);
    let tree = output(&mut command)?;
    Ok(tree.lines().filter_map(name_and_version).collect())
}

fn name_and_version(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    Some(format!("{} {}", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_package_of_a_tree_is_counted_once() {
        let tree = "milena v0.1.0 (/x)\nbytes v1.12.1\ntokio v1.54.1\nbytes v1.12.1 (*)\n\n";
        let names: BTreeSet<_> = tree.lines().filter_map(name_and_version).collect();
        assert_eq!(names.len(), 3);
    }
}
