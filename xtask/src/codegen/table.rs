//! Tables of codes and keys that stand within a hand-written file of `milena-types`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::emit::snake;
use super::jar;
use super::schema::Schema;
use crate::Result;

/// The rows of `keys!`: every API that is not removed, those between brokers too.
pub(super) fn api_keys(schemas: &[Schema]) -> String {
    let mut keys = BTreeMap::new();
    for schema in schemas.iter().filter(|s| s.kind == "request" && !s.versions.is_empty()) {
        let name = schema.name.trim_end_matches("Request");
        keys.insert(schema.api_key, name);
    }
    let row = |(key, name): (Option<i16>, &str)| {
        format!("    {} {name} = {},\n", snake(name).to_uppercase(), key.unwrap_or_default())
    };
    keys.into_iter().map(row).collect()
}

/// The rows of `codes!`, as Kafka's own enumeration prints them; it stands in no schema.
pub(super) fn error_codes(clients: &Path) -> Result<String> {
    let slf4j = jar::fetch(jar::SLF4J)?;
    let output = Command::new("java")
        .arg("-cp")
        .arg(std::env::join_paths([clients, &slf4j])?)
        .arg("xtask/java/ErrorCodes.java")
        .output()
        .map_err(|e| format!("java does not start: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let mut rows = String::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let (code, name) = line.split_once(' ').ok_or("a line without a name")?;
        rows += &format!("    {name} = {code},\n");
    }
    Ok(rows)
}

/// `file` with the rows of its table put in place of those it has.
pub(super) fn replace(file: &str, table: &str, rows: &str) -> Result<String> {
    let open = format!("\n{table}! {{\n");
    let (before, rest) = file.split_once(&open).ok_or("the table is not in its file")?;
    let (_, after) = rest.split_once("\n}\n").ok_or("the table does not end")?;
    Ok(format!("{before}{open}{}\n}}\n{after}", rows.trim_end_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_replaced_and_its_surroundings_are_kept() {
        let file = "use x;\n\ncodes! {\n    A = 1,\n    B = 2,\n}\n\nfn f() {}\n";
        let new = replace(file, "codes", "    C = 3,\n").unwrap();
        assert_eq!(new, "use x;\n\ncodes! {\n    C = 3,\n}\n\nfn f() {}\n");
        assert!(replace(file, "keys", "").is_err());
    }
}
