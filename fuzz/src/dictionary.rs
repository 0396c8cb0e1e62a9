//! Words that a target's inputs have in them: `fuzz/dictionaries`, in the form that libFuzzer reads too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::target::Target;

/// The words of `target`.
///
/// # Errors
/// Where its dictionary cannot be read, or a line of it is none.
pub fn words(target: Target) -> io::Result<Vec<Vec<u8>>> {
    let path = path(target);
    let text = fs::read_to_string(&path)?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let words = lines.map(|(number, line)| {
        let broken = || format!("{} line {number} is no word", path.display());
        word(line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, broken()))
    });
    words.collect()
}

/// Where its dictionary is.
pub fn path(target: Target) -> PathBuf {
    let name = format!("{}.dict", target.name());
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dictionaries").join(name)
}

/// `"bytes"`, with a name and an equals sign before it or without; `\x` and two digits for what cannot be printed.
fn word(line: &str) -> Option<Vec<u8>> {
    let (name, quoted) = line.trim().split_once('"')?;
    if !name.is_empty() && !name.ends_with('=') {
        return None;
    }
    let mut rest = quoted.strip_suffix('"')?.as_bytes();
    let mut word = Vec::new();
    while let Some((first, behind)) = rest.split_first() {
        let (byte, behind) = match (first, behind) {
            (b'\\', [b'x', high, low, behind @ ..]) => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?, behind)
            }
            (b'\\', [escaped @ (b'\\' | b'"'), behind @ ..]) => (*escaped, behind),
            (b'\\' | b'"', _) => return None,
            (plain, behind) => (*plain, behind),
        };
        word.push(byte);
        rest = behind;
    }
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_libfuzzer_reads_them() {
        assert_eq!(word(r#"a="x\x00\xfF\"\\""#), Some(b"x\x00\xff\"\\".to_vec()));
        assert_eq!(word(r#""=""#), Some(b"=".to_vec()));
        for broken in [r#""""#, r#""a"#, "a", r#""\n""#, r#""\x0""#, r#"a "b""#, r#""a"b""#] {
            assert_eq!(word(broken), None, "{broken}");
        }
    }
}
