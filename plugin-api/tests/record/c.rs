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

/// A macro that is a number; not the version, and not how much room a plugin's own text has.
fn number(directive: &str) -> Option<String> {
    let (name, value) = directive.strip_prefix("#define ")?.split_once(' ')?;
    let not_recorded = [
        "LOOPHOST_ABI_MAJOR",
        "LOOPHOST_ABI_MINOR",
        "LOOPHOST_METADATA_ROOM",
        "LOOPHOST_VISIBLE",
        "LOOPHOST_STATIC_ASSERT",
        "LOOPHOST_EXPORT",
    ];
    let is_function = name.contains('(');
    (!is_function && !not_recorded.contains(&name)).then(|| format!("{name} = {}\n", value.trim()))
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
    let Some((head, inside)) = line.split_once(" {").filter(|_| !line.contains("static inline")) else {
        if line.starts_with("typedef ") {
            writeln!(record, "{line}").unwrap();
        }
        return;
    };
    let inside = inside.strip_suffix("};").unwrap_or_else(|| panic!("an attribute is not recorded: {line}"));
    if head == "enum" {
        for enumerator in inside.split_terminator(',').map(str::trim) {
            assert!(enumerator.contains(" = "), "{enumerator}: its number would depend on others");
            writeln!(record, "{enumerator}").unwrap();
        }
        return;
    }
    let members: Vec<_> = inside.split_terminator(';').map(str::trim).filter(|it| !it.is_empty()).collect();
    // The head of each extension's table has members of the extension after it.
    let grows = ["uint32_t struct_size", "uint32_t size"].contains(&members[0])
        && head != "struct loophost_extension";
    assert!(
        !grows || end(&members).is_multiple_of(8),
        "{head}: a member to come would be in the padding at the end"
    );
    writeln!(record, "{head}{}", if grows { format!(", {GROWS}") } else { String::new() }).unwrap();
    for member in members {
        writeln!(record, "    {member}").unwrap();
    }
}

/// Where the last of them ends, if all are of four or eight bytes.
fn end(members: &[&str]) -> usize {
    members.iter().fold(0, |end: usize, member| {
        let is_short =
            ["uint32_t ", "int32_t "].iter().any(|kind| member.starts_with(kind)) && !member.contains('(');
        let size = if is_short { 4 } else { 8 };
        end.next_multiple_of(size) + size
    })
}
