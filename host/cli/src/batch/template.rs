//! The command of a batch, into which values are put.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// What stands for the value, unless the user says otherwise.
const PLACE: &[u8] = b"{}";
/// What stands for the job's number.
const NUMBER: &[u8] = b"{#}";

/// A command with places: `{}`, or what the user has chosen in its stead, for the value, `{#}` for the job's number.
/// Without a `{}` the value is appended; not without a place that the user has chosen, as with `xargs -I`. There is no
/// shell: a value stays one argument, whatever is in it.
#[derive(Debug)]
pub(super) struct Template {
    /// Program and arguments.
    words: Vec<Vec<Part>>,
    /// Whether the value is one more argument.
    appends: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Value,
    Number,
}

impl Template {
    pub(super) fn new(command: &[OsString], place: Option<&OsStr>) -> Result<Self, &'static str> {
        if command.is_empty() {
            return Err("no program was given");
        }
        if command[0].is_empty() {
            return Err("the program's name is empty");
        }
        if place.is_some_and(OsStr::is_empty) {
            return Err("what --replace replaces is empty");
        }
        let value = place.map_or(PLACE, OsStr::as_bytes);
        let words: Vec<_> = command.iter().map(|word| parts(word.as_bytes(), value)).collect();
        let appends = place.is_none() && !words.iter().flatten().any(|part| *part == Part::Value);
        Ok(Self { words, appends })
    }

    /// Whether every job runs the same program: if that cannot be run, no job can.
    pub(super) fn has_fixed_program(&self) -> bool {
        self.words[0].iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Program and arguments of a job.
    pub(super) fn fill(&self, value: &OsStr, number: u64) -> (OsString, Vec<OsString>) {
        let mut words = self.words.iter().map(|parts| fill(parts, value, number));
        let program = words.next().unwrap_or_default();
        let mut args: Vec<_> = words.collect();
        if self.appends {
            args.push(value.to_owned());
        }
        (program, args)
    }
}

fn parts(mut word: &[u8], value: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = Vec::new();
    while let Some((&first, rest)) = word.split_first() {
        let (place, rest) = if let Some(rest) = word.strip_prefix(value) {
            (Some(Part::Value), rest)
        } else if let Some(rest) = word.strip_prefix(NUMBER) {
            (Some(Part::Number), rest)
        } else {
            (None, rest)
        };
        match place {
            None => text.push(first),
            Some(place) => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(place);
            }
        }
        word = rest;
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

fn fill(parts: &[Part], value: &OsStr, number: u64) -> OsString {
    let mut word = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => word.extend_from_slice(text),
            Part::Value => word.extend_from_slice(value.as_bytes()),
            Part::Number => word.extend_from_slice(number.to_string().as_bytes()),
        }
    }
    OsString::from_vec(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(words: &[&str], value: &str) -> Vec<String> {
        let words: Vec<_> = words.iter().map(OsString::from).collect();
        let (program, args) = Template::new(&words, None).unwrap().fill(value.as_ref(), 7);
        [program].into_iter().chain(args).map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn values_go_into_their_places_or_to_the_end() {
        assert_eq!(filled(&["echo"], "a b"), ["echo", "a b"]);
        assert_eq!(filled(&["cp", "{}", "{}.{#}.bak"], "x"), ["cp", "x", "x.7.bak"]);
        assert_eq!(filled(&["echo", "{#}"], "x"), ["echo", "7", "x"]);
        assert_eq!(filled(&["{}"], "true"), ["true"]);
        assert_eq!(filled(&["a{b}{", "}"], "{}"), ["a{b}{", "}", "{}"]);
        assert_eq!(filled(&["x", ""], "y"), ["x", "", "y"]);
    }

    #[test]
    fn another_place_may_be_chosen() {
        let words = ["mv", "{}", "%.{#}"].map(OsString::from);
        let (_, args) = Template::new(&words, Some("%".as_ref())).unwrap().fill("x".as_ref(), 7);
        assert_eq!(args, ["{}", "x.7"]);
        let (_, args) = Template::new(&words, Some("@".as_ref())).unwrap().fill("x".as_ref(), 7);
        assert_eq!(args, ["{}", "%.7"], "nothing is appended");
        assert!(Template::new(&words, Some("".as_ref())).is_err());
    }

    #[test]
    fn a_program_with_a_place_is_another_one_in_each_job() {
        let template = |word: &str| Template::new(&[word.into()], None).unwrap();
        assert!(template("ls").has_fixed_program());
        assert!(!template("./{}").has_fixed_program());
        assert!(Template::new(&[], None).is_err());
        assert!(Template::new(&["".into()], None).is_err());
    }
}
