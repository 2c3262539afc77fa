//! A change of a file of the workspace.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A text that is once in a file, and what a copy of the file has in its place.
pub(crate) struct Edit {
    file: &'static str,
    /// `None`: there is no such file in the workspace.
    old: Option<String>,
    new: String,
}

impl Edit {
    pub(crate) fn replace(file: &'static str, old: impl Into<String>, new: impl Into<String>) -> Self {
        Self { file, old: Some(old.into()), new: new.into() }
    }

    pub(crate) fn before(file: &'static str, text: &str, addition: &str) -> Self {
        Self::replace(file, text, format!("{addition}{text}"))
    }

    pub(crate) fn after(file: &'static str, text: &str, addition: &str) -> Self {
        Self::replace(file, text, format!("{text}{addition}"))
    }

    /// At the end of a table or struct, whose last member `last` must be.
    pub(crate) fn at_end(file: &'static str, last: &str, addition: &str) -> Self {
        Self::replace(file, format!("{last}\n}}"), format!("{last}\n{addition}}}"))
    }

    /// A file that is in the copy only.
    pub(crate) fn add(file: &'static str, content: &str) -> Self {
        Self { file, old: None, new: content.into() }
    }

    /// The file, if it is in the copy only.
    pub(crate) fn new_file(&self) -> Option<PathBuf> {
        self.old.is_none().then(|| self.file.into())
    }

    fn apply(&self, content: &mut String) {
        let Self { file, old, new } = self;
        let Some(old) = old else { return new.clone_into(content) };
        let count = content.matches(old.as_str()).count();
        assert_eq!(count, 1, "this must be once in {file}, or tests/tests/minors must follow it:\n{old}");
        *content = content.replace(old.as_str(), new);
    }
}

/// A file as a copy of the workspace has it.
pub(crate) fn edited(workspace: &Path, file: &Path, edits: &[&Edit]) -> Vec<u8> {
    let edits: Vec<_> = edits.iter().filter(|edit| Path::new(edit.file) == file).collect();
    if edits.is_empty() {
        return fs::read(workspace.join(file)).unwrap();
    }
    let mut content = fs::read_to_string(workspace.join(file)).unwrap_or_default();
    edits.iter().for_each(|edit| edit.apply(&mut content));
    content.into_bytes()
}
