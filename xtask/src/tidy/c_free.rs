//! Nothing in the graph compiles or links C, under any feature, on any platform, not even in tests.

use super::Breach;
use super::sources::Sources;
use crate::cargo::Graph;

/// Crates that compile, configure, find or bind C. `deny.toml` bans the same ones.
const BUILDERS: [&str; 10] = [
    "autotools",
    "bindgen",
    "cbindgen",
    "cc",
    "cmake",
    "gcc",
    "meson",
    "nasm-rs",
    "pkg-config",
    "vcpkg",
];

/// Named `-sys`, and nothing but Rust declarations for what the platform has anyway.
const DECLARATIONS: [(&str, &str); 8] = [
    ("windows-sys", "system calls of Windows"),
    ("linux-raw-sys", "system calls of Linux"),
    ("js-sys", "JavaScript's own objects"),
    ("web-sys", "the browser's own objects"),
    ("core-foundation-sys", "frameworks of macOS"),
    ("security-framework-sys", "frameworks of macOS"),
    ("fsevent-sys", "frameworks of macOS"),
    ("redox_syscall", "system calls of Redox"),
];

/// `links` keys that only keep two versions of a Rust crate apart.
const HARMLESS_LINKS: [&str; 3] = ["prettyplease02", "rayon-core", "wasm_bindgen"];

pub(super) fn check(graph: &Graph, sources: &Sources) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for package in graph.foreign() {
        let name = package.name.as_str();
        let place = format!("{name} {}", package.version);
        let declares = DECLARATIONS.iter().any(|(known, _)| *known == name);
        if BUILDERS.contains(&name) {
            breaches.push(Breach::new(place, "builds or finds C: cargo tree --target all -i it"));
        } else if name.ends_with("-sys") && !declares {
            breaches.push(Breach::new(place, "is named as a binding to C"));
        } else if let Some(links) = &package.links
            && !declares
            && !HARMLESS_LINKS.iter().any(|harmless| links.starts_with(harmless))
        {
            breaches.push(Breach::new(place, format!("links {links}")));
        }
    }
    breaches.extend(c_files(sources));
    breaches.extend(unbanned(sources));
    breaches
}

/// C or assembly of our own.
fn c_files(sources: &Sources) -> Vec<Breach> {
    let endings = [".c", ".h", ".cc", ".cpp", ".s", ".S", ".asm"];
    let found = sources.files.iter().filter(|s| endings.iter().any(|e| s.path.ends_with(e)));
    found.map(|source| Breach::new(&source.path, "is C or assembly")).collect()
}

/// `deny.toml` tells people with cargo-deny the same.
fn unbanned(sources: &Sources) -> Vec<Breach> {
    let deny = sources.at("deny.toml").map_or("", |source| source.text.as_str());
    let missing = BUILDERS.iter().filter(|name| !deny.contains(&format!("\"{name}\"")));
    missing.map(|name| Breach::new("deny.toml", format!("does not ban {name}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::Package;

    fn places(name: &str, links: Option<&str>) -> usize {
        let package = Package {
            id: name.into(),
            name: name.into(),
            links: links.map(str::to_owned),
            ..Package::default()
        };
        let graph = Graph { packages: vec![package], ..Graph::default() };
        let bans = BUILDERS.map(|name| format!("\"{name}\"")).join(" ");
        check(&graph, &Sources::of(&[("deny.toml", &bans)])).len()
    }

    #[test]
    fn builders_bindings_and_links_are_found() {
        assert_eq!(places("cc", None), 1);
        assert_eq!(places("zstd-sys", None), 1);
        assert_eq!(places("ring", Some("ring_core_0_17")), 1);
    }

    #[test]
    fn declarations_and_plain_rust_pass() {
        assert_eq!(places("windows-sys", None), 0);
        assert_eq!(places("rayon-core", Some("rayon-core")), 0);
        assert_eq!(places("bytes", None), 0);
    }

    #[test]
    fn a_c_file_of_our_own_and_a_forgotten_ban_are_found() {
        let sources = Sources::of(&[("crates/records/src/crc.c", ""), ("deny.toml", "")]);
        let found = check(&Graph::default(), &sources);
        assert_eq!(found.len(), 1 + BUILDERS.len());
    }
}
