//! The report for people.

use std::fmt::Write;

use super::{
    Report,
    finding::{Finding, Level},
    plugins::Folder,
};
use crate::printable::one_line;

/// Lines that fit a terminal where the facts do; `color` marks the levels.
pub(super) fn render(report: &Report, color: bool) -> String {
    let mut out = format!("loophost {}, plugin ABI {}\n", report.version, report.abi);
    let width = report.findings.iter().map(|finding| finding.name().len()).max().unwrap_or(0);
    let mut section = "";
    for finding in &report.findings {
        if finding.section() != section {
            section = finding.section();
            let _ = writeln!(out, "\n{section}");
        }
        line(&mut out, finding, width, color);
    }
    for choice in &report.choices {
        let overrides = choice.overrides.iter().map(|weaker| format!("overrides {weaker}"));
        for more in choice.options.iter().map(|option| format!("option {option}")).chain(overrides) {
            let _ = writeln!(out, "  {:8} {:width$}  {more}", "", choice.kind);
        }
    }
    out.push_str("\nplugin path\n");
    for folder in &report.plugin_path {
        list(&mut out, folder, color);
    }
    let count = |level| report.findings.iter().filter(|finding| finding.level == level).count();
    let counts = [(Level::Problem, "problem"), (Level::Warning, "warning"), (Level::Note, "note")];
    let counts = counts.map(|(level, name)| match count(level) {
        1 => format!("1 {name}"),
        count => format!("{count} {name}s"),
    });
    let _ = writeln!(out, "\n{}", counts.join(", "));
    out
}

fn line(out: &mut String, finding: &Finding, width: usize, color: bool) {
    let Finding { level, value, advice, .. } = finding;
    let _ = writeln!(out, "  {} {:width$}  {}", label(*level, color), finding.name(), one_line(value));
    for advice in advice.iter().flat_map(|advice| advice.lines()) {
        let _ = writeln!(out, "  {:8} {:width$}  {}", "", "", one_line(advice));
    }
}

fn list(out: &mut String, folder: &Folder, color: bool) {
    let path = one_line(&folder.path.display().to_string());
    let origin = &folder.origin;
    match (&folder.rejected, folder.exists) {
        (None, false) => {
            let _ = writeln!(out, "  {:8} {path} ({origin}): not there", "-");
        }
        (None, true) => {
            let _ = writeln!(out, "  {} {path} ({origin})", label(Level::Ok, color));
        }
        (Some(reason), _) => {
            let _ = writeln!(out, "  {} {path} ({origin})", label(Level::Warning, color));
            reasons(out, reason);
        }
    }
    for file in &folder.files {
        let level = if file.rejected.is_some() { Level::Warning } else { Level::Ok };
        let shadowed = if file.shadowed { " (another one of this name comes before it)" } else { "" };
        let name = file.path.file_name().unwrap_or_default().display().to_string();
        let offers =
            if file.offers.is_empty() { String::new() } else { format!(": {}", file.offers.join(", ")) };
        let _ =
            writeln!(out, "  {}   {}{shadowed}{}", label(level, color), one_line(&name), one_line(&offers));
        if let Some(reason) = &file.rejected {
            reasons(out, reason);
        }
    }
}

fn reasons(out: &mut String, reason: &str) {
    for line in reason.lines() {
        let _ = writeln!(out, "  {:8}     {}", "", one_line(line));
    }
}

fn label(level: Level, color: bool) -> String {
    let (name, code) = match level {
        Level::Ok => ("ok", 32),
        Level::Note => ("note", 36),
        Level::Warning => ("warning", 33),
        Level::Problem => ("problem", 31),
    };
    if color { format!("\x1b[{code}m{name:8}\x1b[0m") } else { format!("{name:8}") }
}
