//! Whether each library could be published.

use std::path::PathBuf;
use std::{env, fs, io};

use crate::cargo::{Graph, cargo};
use crate::steps::{self, Done, Step};

/// Manifest, readme and files of each library, and that what is packed builds. One command for all of them: a crate
/// that is not in the registry yet is found beside it.
pub(crate) fn step(graph: &Graph) -> Step {
    let members = graph.members();
    let libraries = members.values().filter(|p| p.is_published() && p.is_library());
    let libraries: Vec<_> = libraries.map(|p| (p.name.clone(), p.version.clone())).collect();
    let mut package = cargo();
    package.args(["package", "--quiet", "--allow-dirty"]);
    for (name, _) in &libraries {
        package.args(["--package", name]);
    }
    Step::new("packages", steps::as_typed(&package), move || {
        let unpacked = libraries.iter().map(|(name, version)| format!("{name}-{version}"));
        forget_unpacked(&unpacked.collect::<Vec<_>>())?;
        let status = package.status()?;
        if status.success() {
            Ok(Done::Passed(String::new()))
        } else {
            Err(status.to_string().into())
        }
    })
}

/// Removes what an earlier `cargo package` has unpacked of our libraries. It packs them into a registry inside the
/// target folder and builds each against the others *as unpacked from there into cargo's home*; what is unpacked it
/// takes for good as long as name and version are the same, so it would build against the sources of an older commit.
fn forget_unpacked(libraries: &[String]) -> io::Result<()> {
    let Some(home) = cargo_home() else { return Ok(()) };
    let Ok(registries) = fs::read_dir(home.join("registry").join("src")) else { return Ok(()) };
    for registry in registries {
        let registry = registry?;
        // A registry that is a folder has no host before the hash in its name.
        if !registry.file_name().as_encoded_bytes().starts_with(b"-") {
            continue;
        }
        for library in libraries {
            match fs::remove_dir_all(registry.path().join(library)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Where cargo keeps what it downloads and unpacks.
fn cargo_home() -> Option<PathBuf> {
    let named = env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| env::home_dir().map(|home| home.join(".cargo")))
}
