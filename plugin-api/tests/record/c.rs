//! The half of the ABI that is in C: the structs, types and numbers of `loophost.h`, without its comments. Its macros and
//! inline functions become part of the plugin.

use std::fmt::Write as _;

use crate::growth::GROWS;

pub(crate) fn record() -> String {
    let header = without_comments(include_str!("../../include/loophost.h")).replace("\\\n", " ");
    let header = without_cplusplus(&header);
    let (directives, text): (Vec<_>, Vec<_>) = header.into_iter().partition(|line| line.starts_with('#'));
    let mut record: String = directives.into_iter().filter_map(number).collect();
    for declaration in declarations(&text.join("\n")) {
        describe(&declaration, &mut record);
    }
    record
}

fn without_comments(mut text: &str) -> String {
    let mut without = String::new();
    while let Some((before, comment)) = text.split_once("/*") {
        without.push_str(before);
        text = comment.split_once("*/").unwrap().1;
    }
    without + text
}

/// Leaves out what only compilers of C++ see.
fn without_cplusplus(header: &str) -> Vec<&str> {
    let mut is_cplusplus = false;
    let is_kept = |line: &&str| {
        match *line {
            "#ifdef __cplusplus" => is_cplusplus = true,
            "#else" | "#endif" => is_cplusplus = false,
            _ => {}
        }
        !is_cplusplus
    };
    header.lines().filter(is_kept).collect()
}

/// A macro that is a number. The version is not part of what it stands for, and how long its text may be a plugin decides.
fn number(directive: &str) -> Option<String> {
    let (name, value) = directive.strip_prefix("#define ")?.split_once(' ')?;
    let value = value.trim();
    let is_number = value.starts_with(|first: char| first.is_ascii_digit()) || value.starts_with("UINT64_");
    let is_own = ["LOOPHOST_ABI_MAJOR", "LOOPHOST_ABI_MINOR", "LOOPHOST_METADATA_ROOM"].contains(&name);
    (is_number && !name.contains('(') && !is_own).then(|| format!("{name} = {value}\n"))
}

/// What ends with a semicolon outside of all braces, or with the brace of a function.
fn declarations(text: &str) -> Vec<String> {
    let (mut all, mut depth) = (vec![String::new()], 0);
    for letter in text.chars() {
        let last = all.last_mut().unwrap();
        last.push(letter);
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        let is_function = || last.contains("static inline");
        if depth == 0 && (letter == ';' || letter == '}' && is_function()) {
            all.push(String::new());
        }
    }
    all
}

fn describe(declaration: &str, record: &mut String) {
    let line = declaration.split_whitespace().collect::<Vec<_>>().join(" ");
    let inside = || Some(line.split_once('{')?.1.rsplit_once('}')?.0);
    if line.starts_with("typedef ") {
        writeln!(record, "{line}").unwrap();
    } else if line.starts_with("enum {") {
        for enumerator in inside().unwrap().split(',') {
            writeln!(record, "{}", enumerator.trim()).unwrap();
        }
    } else if let Some((name, inside)) = line.strip_prefix("struct ").zip(inside()) {
        let members: Vec<_> =
            inside.split_terminator(';').map(str::trim).filter(|it| !it.is_empty()).collect();
        let name = name.split_once(' ').unwrap().0;
        let grows = ["uint32_t struct_size", "uint32_t size"].contains(&members[0]);
        writeln!(record, "struct {name}{}", if grows { format!(", {GROWS}") } else { String::new() })
            .unwrap();
        for member in members {
            writeln!(record, "    {member}").unwrap();
        }
    }
}
