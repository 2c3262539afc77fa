//! No plugin of that name.

use std::{error, fmt};

use super::{SearchFolder, SearchPath, file_names};

/// All names are listed if there are no more.
const FEW: usize = 8;

/// No plugin of that name is on the search path. Its `Display` is one to three lines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotFound {
    /// The name.
    pub name: String,
    /// The folders that were searched.
    pub folders: Vec<SearchFolder>,
    /// Names that look alike.
    pub similar: Vec<String>,
    /// All names that there are, of plugins and of built-ins.
    pub existing: Vec<String>,
}

impl NotFound {
    pub(super) fn new(name: &str, searched: &SearchPath, built_in: &[&str]) -> Self {
        let mut existing: Vec<_> = built_in.iter().map(|name| (*name).to_owned()).collect();
        existing.extend(searched.names());
        let similar = existing.iter().filter(|other| are_similar(name, other)).cloned().collect();
        Self { name: name.to_owned(), folders: searched.folders.clone(), similar, existing }
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: there is no plugin of this name", self.name)?;
        if !self.similar.is_empty() {
            write!(f, "; did you mean {}?", self.similar.join(" or "))?;
        } else if (1..=FEW).contains(&self.existing.len()) {
            write!(f, "; there are {}", self.existing.join(", "))?;
        }
        let [first, second] = file_names(&self.name);
        let folders =
            self.folders.iter().map(|folder| format!("{} ({})", folder.path.display(), folder.origin));
        write!(f, "\nlooked for {first} and {second} in {}", folders.collect::<Vec<_>>().join(", "))?;
        let hint = if self.name.contains(".so") {
            format!("to name a file, write a path: ./{}", self.name)
        } else {
            "put it there, add its folder with --plugin-path, or give its path".to_owned()
        };
        write!(f, "\n{hint}")
    }
}

impl error::Error for NotFound {}

/// Whether one may have been typed for the other: up to a third of its letters wrong, or one is part of the other.
fn are_similar(typed: &str, other: &str) -> bool {
    let (typed, other) = (typed.replace('_', "-"), other.replace('_', "-"));
    let is_part = typed.len().min(other.len()) >= 3 && (other.contains(&typed) || typed.contains(&other));
    is_part || distance(typed.as_bytes(), other.as_bytes()) <= typed.len().max(other.len()) / 3
}

/// How many letters to insert, delete or replace (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_recognised() {
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        for (typed, other) in [
            ("pol", "poll"),
            ("polll", "poll"),
            ("io_uring", "io-uring"),
            ("lmited", "limited"),
            ("policy", "limited-policy"),
        ] {
            assert!(are_similar(typed, other), "{typed} {other}");
        }
        for (typed, other) in [("x", "poll"), ("uv", "uring"), ("", "poll")] {
            assert!(!are_similar(typed, other), "{typed} {other}");
        }
    }
}
