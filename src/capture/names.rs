//! Names on the command line: in come file names and patterns, out come paths, in the order given and, within a pattern,
//! of the alphabet. Shells expand patterns themselves; where one is quoted, or the system has no such shell, we do.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Error;

/// One input to open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Named {
    /// `-`.
    StandardInput,
    /// Anything else.
    File(PathBuf),
}

impl Named {
    /// As reports print it.
    pub(super) fn display(&self) -> String {
        match self {
            Self::StandardInput => "-".to_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}

/// The inputs that `names` stand for. What is named twice is read once.
///
/// A name with `*` or `?` is a pattern unless a file has that very name. Neither sign matches `/`, nor a leading dot.
pub(super) fn expand(names: &[String]) -> Result<Vec<Named>, Error> {
    let mut inputs: Vec<Named> = Vec::new();
    for name in names {
        let pattern = Path::new(name);
        if name == "-" {
            inputs.push(Named::StandardInput);
        } else if name.contains(['*', '?']) && pattern.symlink_metadata().is_err() {
            let found = matching(pattern);
            if found.is_empty() {
                return Err(Error::EmptyPattern { pattern: name.clone() });
            }
            inputs.extend(found.into_iter().map(Named::File));
        } else {
            inputs.push(Named::File(pattern.to_owned()));
        }
    }
    let mut seen = HashSet::new();
    inputs.retain(|input| seen.insert(input.clone()));
    if inputs.is_empty() { Err(Error::NoInput) } else { Ok(inputs) }
}

/// All files (directories are none) that match, component by component.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        found = if text.contains(['*', '?']) {
            found.iter().flat_map(|directory| entries(directory, &text)).collect()
        } else {
            found.into_iter().map(|directory| directory.join(component)).collect()
        };
    }
    found.retain(|path| fs::metadata(path).is_ok_and(|metadata| !metadata.is_dir()));
    found
}

/// Entries of a directory that match. A directory that cannot be listed has none.
fn entries(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let mut found: Vec<PathBuf> = fs::read_dir(listed)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| matches(pattern, &entry.file_name().to_string_lossy()))
        .map(|entry| directory.join(entry.file_name()))
        .collect();
    found.sort_unstable();
    found
}

/// Whether `name` matches `pattern`. The last `*` alone is ever tried again, so that the time is bounded by the product of
/// the lengths.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    let mut retry = None;
    loop {
        let rest_of_name = name.clone();
        match (pattern.next(), name.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                name = rest_of_name.clone();
                retry = Some((pattern.clone(), rest_of_name));
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {}
            _ => {
                let Some((after_star, mut skipped)) = retry.take() else { return false };
                if skipped.next().is_none() {
                    return false;
                }
                (pattern, name) = (after_star.clone(), skipped.clone());
                retry = Some((after_star, skipped));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_run_and_a_question_mark_one_character() {
        for (pattern, name, expected) in [
            ("*.pcap", "a.pcap", true),
            ("*.pcap", "a.pcapng", false),
            ("*", "anything", true),
            ("*", "", true),
            ("ring.???", "ring.001", true),
            ("ring.???", "ring.1", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("*a", "aaab", false),
            ("*", ".hidden", false),
            (".h*", ".hidden", true),
            ("?b", "äb", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(50), &"a".repeat(49)));
    }

    #[test]
    fn patterns_expand_in_order_and_repeated_names_count_once() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b/ring.2", "b/ring.1", "a/ring.1", "a/odd*name"] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        fs::create_dir(directory.path().join("a/ring.d")).unwrap();
        let name = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let check = |names: &[String], expected: &[&str]| {
            let found: Vec<String> = expand(names).unwrap().iter().map(Named::display).collect();
            let expected: Vec<String> =
                expected.iter().map(|&e| if e == "-" { e.to_owned() } else { name(e) }).collect();
            assert_eq!(found, expected);
        };
        check(&[name("*/ring.?")], &["a/ring.1", "b/ring.1", "b/ring.2"]);
        check(&[name("b/ring.2"), "-".into(), name("b/*"), "-".into()], &["b/ring.2", "-", "b/ring.1"]);
        check(&[name("a/odd*name")], &["a/odd*name"]);
        assert!(matches!(expand(&[name("c/*")]), Err(Error::EmptyPattern { .. })));
        assert!(matches!(expand(&[]), Err(Error::NoInput)));
    }
}
