//! Options in one text: `KEY=VALUE,KEY=VALUE`.

use crate::Options;

const SEPARATOR: char = ',';
const ESCAPE: char = '\\';

/// Why a text is no list of options.
type Problem = &'static str;

pub(super) fn parse(text: &str) -> Result<Options, Problem> {
    let mut options = Options::new();
    let mut chars = text.chars();
    loop {
        let (mut item, mut is_last) = (String::new(), true);
        while let Some(c) = chars.next() {
            match c {
                SEPARATOR => {
                    is_last = false;
                    break;
                }
                ESCAPE => item.push(chars.next().ok_or("there is nothing after the last backslash")?),
                c => item.push(c),
            }
        }
        match item.split_once('=') {
            Some((key, value)) if !key.is_empty() => options.push(key, value),
            _ => return Err("an option has no key or no ="),
        }
        if is_last {
            return Ok(options);
        }
    }
}

pub(super) fn join(options: &Options) -> String {
    let mut text = String::new();
    for option in options {
        if !text.is_empty() {
            text.push(SEPARATOR);
        }
        for c in format!("{}={}", option.key(), option.value()).chars() {
            if [SEPARATOR, ESCAPE].contains(&c) {
                text.push(ESCAPE);
            }
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_joined_is_parsed_as_the_same() {
        let lists: [&[(&str, &str)]; 5] = [
            &[("entries", "64")],
            &[("entries", "64"), ("wait", "waitid")],
            &[("a", "1,b=2"), ("c", "\\"), ("d", "\\,\n=")],
            &[("a", ""), ("b", "")],
            &[("a,b\\", "x"), ("a", "last"), ("a", "counts")],
        ];
        for list in lists {
            let mut options = Options::new();
            list.iter().for_each(|(key, value)| options.push(key, value));
            assert_eq!(parse(&join(&options)).as_ref(), Ok(&options), "{}", join(&options));
        }
    }

    #[test]
    fn it_is_what_one_would_type() {
        let options = parse(r"entries=64,name=a\,b\\c=d").unwrap();
        assert_eq!((options.get("entries"), options.get("name")), (Some("64"), Some(r"a,b\c=d")));
        assert_eq!(join(&options), r"entries=64,name=a\,b\\c=d");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["entries", "=64", "a=1,", ",a=1", "a=1,,b=2", r"a=1\"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
