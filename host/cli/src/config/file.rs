//! One configuration file, read.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    rc::Rc,
};

use loophost::{
    Error,
    policy::{Deprecation, Profile},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Problem, ReadError, key};
use crate::{
    log::Filter,
    owner::Owner,
    source::{Said, Source},
};

/// What a configuration file says. What it does not say is `None` or empty.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) policy: Option<Said<String>>,
    /// Only beside `policy`: options are those of the policy that the same file names.
    pub(crate) policy_options: Vec<(String, Said<String>)>,
    pub(crate) watcher: Option<Said<String>>,
    /// Only beside `watcher`.
    pub(crate) watcher_options: Vec<(String, Said<String>)>,
    /// Absolute.
    pub(crate) plugin_path: Vec<Said<PathBuf>>,
    pub(crate) trust_owner: Vec<Said<Owner>>,
    pub(crate) log: Option<Said<Filter>>,
    pub(crate) silence: Vec<Said<Deprecation>>,
    pub(crate) compat: Option<Said<Profile>>,
    pub(crate) fallback: Option<Said<bool>>,
}

type Place = Range<usize>;
/// Where it is wrong, and what.
type Wrong = (Place, String);
type Value<'i> = Spanned<DeValue<'i>>;

impl File {
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ReadError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let failed = |valid: &[u8], (place, message): Wrong| {
            let (line, column) = line_and_column(valid, place.start);
            ReadError { path: path.into(), problem: Problem::Content { line, column, message } }
        };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            failed(bytes, (at..at, "this is not UTF-8 text".into()))
        })?;
        Self::parse_text(path, text).map_err(|wrong| failed(bytes, wrong))
    }

    fn parse_text(path: &Path, text: &str) -> Result<Self, Wrong> {
        let table = DeTable::parse(text).map_err(|error| {
            // The parser's text may have several lines.
            let message = error.message().lines().collect::<Vec<_>>().join("; ");
            (error.span().unwrap_or_default(), message)
        })?;
        let reader = Reader { path: path.into(), text };
        let mut file = Self { path: path.into(), ..Self::default() };
        let mut options = [None, None];
        for (key, value) in table.get_ref() {
            match &**key.get_ref() {
                "policy" => file.policy = Some(reader.said(key, reader.reference("policy", value)?)),
                "watcher" => file.watcher = Some(reader.said(key, reader.reference("watcher", value)?)),
                "policy-options" => {
                    file.policy_options = reader.options("policy-options", value)?;
                    options[0] = Some(key.span());
                }
                "watcher-options" => {
                    file.watcher_options = reader.options("watcher-options", value)?;
                    options[1] = Some(key.span());
                }
                "plugin-path" => file.plugin_path = reader.folders("plugin-path", value)?,
                "trust-owner" => file.trust_owner = reader.owners("trust-owner", value)?,
                "log" => {
                    let text = string("log", value)?;
                    let filter = text.parse().map_err(|error| (value.span(), format!("log: {error}")))?;
                    file.log = Some(reader.said(key, filter));
                }
                "silence" => file.silence = reader.deprecations("silence", value)?,
                "compat" => {
                    let text = string("compat", value)?;
                    let profile = text.parse::<Profile>();
                    let profile = profile.map_err(|error| (value.span(), format!("compat: {error}")))?;
                    file.compat = Some(reader.said(key, profile));
                }
                "fallback" => file.fallback = Some(reader.said(key, boolean("fallback", value)?)),
                unknown => return Err((key.span(), key::unknown(unknown))),
            }
        }
        let chosen = [("policy", file.policy.is_some()), ("watcher", file.watcher.is_some())];
        for (place, (kind, is_chosen)) in options.into_iter().zip(chosen) {
            if let (Some(place), false) = (place, is_chosen) {
                let message = format!("{kind}-options needs `{kind}` in the same file: they are its options");
                return Err((place, message));
            }
        }
        Ok(file)
    }
}

/// Turns values into what they must be.
struct Reader<'i> {
    path: Rc<Path>,
    text: &'i str,
}

impl Reader<'_> {
    fn said<K, T>(&self, place: &Spanned<K>, value: T) -> Said<T> {
        let (line, _) = line_and_column(self.text.as_bytes(), place.span().start);
        Said { value, source: Source::File(self.path.clone(), line) }
    }

    /// A name, or an absolute path: a file says nothing of where loophost is started.
    fn reference(&self, key: &str, value: &Value<'_>) -> Result<String, Wrong> {
        let text = string(key, value)?;
        let (target, _) = text.rsplit_once('#').unwrap_or((text, ""));
        if text.is_empty() {
            return Err((value.span(), format!("{key} is empty; leave it out for the default")));
        }
        if target.contains('/') && !target.starts_with('/') {
            return Err((
                value.span(),
                format!("{key}: `{text}` is relative; write an absolute path, or a name"),
            ));
        }
        Ok(text.to_owned())
    }

    fn options(&self, key: &str, value: &Value<'_>) -> Result<Vec<(String, Said<String>)>, Wrong> {
        let table = value.get_ref().as_table().ok_or_else(|| must_be(key, "a table", value))?;
        let option = |(name, value): (&Spanned<_>, &Value<'_>)| {
            let name_text: &std::borrow::Cow<'_, str> = name.get_ref();
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Boolean(value) => value.to_string(),
                // As it is written: an option is a text for the plugin to read.
                DeValue::Integer(_) | DeValue::Float(_) => self.text[value.span()].to_owned(),
                _ => {
                    return Err(must_be(
                        &format!("{key}.{name_text}"),
                        "a string, a number or a boolean",
                        value,
                    ));
                }
            };
            Ok((name_text.to_string(), self.said(name, text)))
        };
        table.iter().map(option).collect()
    }

    fn folders(&self, key: &str, value: &Value<'_>) -> Result<Vec<Said<PathBuf>>, Wrong> {
        list(key, value)?
            .map(|value| match string(key, value)? {
                folder if Path::new(folder).is_absolute() => Ok(self.said(value, folder.into())),
                folder => {
                    Err((value.span(), format!("{key}: `{folder}` is relative; write an absolute path")))
                }
            })
            .collect()
    }

    fn deprecations(&self, key: &str, value: &Value<'_>) -> Result<Vec<Said<Deprecation>>, Wrong> {
        list(key, value)?
            .map(|value| {
                let parsed = string(key, value)?.parse();
                let deprecation = parsed.map_err(|error: Error| (value.span(), format!("{key}: {error}")))?;
                Ok(self.said(value, deprecation))
            })
            .collect()
    }

    fn owners(&self, key: &str, value: &Value<'_>) -> Result<Vec<Said<Owner>>, Wrong> {
        list(key, value)?
            .map(|value| {
                let text = match value.get_ref() {
                    DeValue::String(text) => text.to_string(),
                    // A number in any way that TOML has of writing one.
                    DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                        .map_or_else(|_| number.to_string(), |number| number.to_string()),
                    _ => return Err(must_be(key, "a list of users, by number or name", value)),
                };
                let owner = text.parse().map_err(|error| (value.span(), format!("{key}: {error}")))?;
                Ok(self.said(value, owner))
            })
            .collect()
    }
}

fn string<'a>(key: &str, value: &'a Value<'_>) -> Result<&'a str, Wrong> {
    value.get_ref().as_str().ok_or_else(|| must_be(key, "a string", value))
}

fn boolean(key: &str, value: &Value<'_>) -> Result<bool, Wrong> {
    value.get_ref().as_bool().ok_or_else(|| must_be(key, "true or false", value))
}

fn list<'a, 'i>(key: &str, value: &'a Value<'i>) -> Result<impl Iterator<Item = &'a Value<'i>>, Wrong> {
    value.get_ref().as_array().map(|array| array.iter()).ok_or_else(|| must_be(key, "a list", value))
}

fn must_be(key: &str, what: &str, value: &Value<'_>) -> Wrong {
    (value.span(), format!("{key} must be {what}, and this is {}", kind(value.get_ref())))
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Both from 1; the column counts characters.
fn line_and_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    (line, String::from_utf8_lossy(&before[line_start..]).chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("/f"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read_with_its_line() {
        let file = parse(
            "# comment\npolicy = \"poll\"\nwatcher = \"/opt/w.so#x\"\nplugin-path = [\n  \"/opt/a\",\n  \"/opt/b\",\n]\n\
             trust-owner = [1000, \"root\", 0x3e8, 1_000]\nlog = \"info\"\nfallback = true\ncompat = \"3.9\"\nsilence = [\"get_child_watcher\"]\n[policy-options]\nmax = 1\n\
             [watcher-options]\nfast = true\nname = \"n\"\nratio = 0.50\n",
        )
        .unwrap();
        let line = |source: &Source| match source {
            Source::File(_, line) => *line,
            other => panic!("{other}"),
        };
        let policy = file.policy.unwrap();
        assert_eq!((&*policy.value, line(&policy.source)), ("poll", 2));
        assert_eq!(file.watcher.unwrap().value, "/opt/w.so#x");
        let folders: Vec<_> = file.plugin_path.iter().map(|said| line(&said.source)).collect();
        assert_eq!(folders, [5, 6]);
        let owners: Vec<_> = file.trust_owner.iter().map(|said| said.value.0).collect();
        assert_eq!(owners, [1000, 0, 1000, 1000]);
        assert!(file.fallback.unwrap().value);
        assert_eq!(file.compat.unwrap().value, Profile::V3_9);
        assert_eq!(file.silence[0].value, Deprecation::GetChildWatcher);
        let (key, max) = &file.policy_options[0];
        assert_eq!((&**key, &*max.value, line(&max.source)), ("max", "1", 14));
        let options: Vec<_> =
            file.watcher_options.iter().map(|(key, said)| format!("{key}={}", said.value)).collect();
        assert_eq!(options, ["fast=true", "name=n", "ratio=0.50"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_column() {
        for (text, start, part) in [
            ("policy = \"a\"\npolcy = 1\n", "/f:2:1: ", "did you mean `policy`?"),
            ("policy = 3\n", "/f:1:10: ", "policy must be a string, and this is a number"),
            ("policy = \"./x.so\"\n", "/f:1:10: ", "absolute"),
            ("policy = \"\"\n", "/f:1:10: ", "empty"),
            ("fallback = \"yes\"\n", "/f:1:12: ", "true or false"),
            ("plugin-path = \"/a\"\n", "/f:1:15: ", "a list"),
            ("plugin-path = [\"/a\", \"b\"]\n", "/f:1:22: ", "`b` is relative"),
            ("trust-owner = [-1]\n", "/f:1:16: ", "no user"),
            ("trust-owner = [\"no such user\"]\n", "/f:1:16: ", "no user `no such user`"),
            ("log = \"a=loud\"\n", "/f:1:7: ", "log: "),
            ("[policy-options]\nx = 1\n", "/f:1:2: ", "needs `policy`"),
            ("policy = \"a\"\n[policy-options]\nx = []\n", "/f:3:5: ", "policy-options.x"),
            ("policy = \"a\"\npolicy = \"b\"\n", "/f:2:1: ", "duplicate"),
            ("policy = \n", "/f:1:", ""),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.starts_with(start) && message.contains(part), "{text:?}: {message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
        let message = File::parse(Path::new("/f"), b"# \xc3\xa9\n#\xff\n").unwrap_err().to_string();
        assert!(message.starts_with("/f:2:2: "), "{message}");
    }

    #[test]
    fn nothing_is_fine() {
        parse("").unwrap();
        parse("\u{feff}# only a comment\n").unwrap();
    }
}
