//! What is printed: a line for each case as it ends, the failures again at the end, and a summary.

use std::{
    error::Error,
    io::{self, Write},
    time::Duration,
};

use loophost_testkit::{Case, cases};
use serde::Serialize;

use super::{
    job::Job,
    plan::Selection,
    result::{Ended, Verdict},
    target::Target,
};

/// Lines of a dead case's own output that are shown.
const OUTPUT_LINES: usize = 5;

pub(super) struct Report {
    json: bool,
    color: bool,
    title: String,
    /// Columns of the offers' names.
    width: usize,
    bad: Vec<(Job, Ended)>,
    counts: [usize; Verdict::ALL.len()],
    load_time: Option<Duration>,
}

/// A line of `--json`; keys stay, new ones may come.
#[derive(Serialize)]
struct Line<'a> {
    case: &'a str,
    meaning: &'a str,
    /// Null: the plugin itself.
    offer: Option<String>,
    result: &'a str,
    reason: Option<&'a str>,
    /// Seconds.
    duration: f64,
    /// Seconds; of the case about loading only.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_time: Option<f64>,
    /// The end of what a case that has not passed wrote to standard error.
    #[serde(skip_serializing_if = "str::is_empty")]
    output: &'a str,
}

impl Report {
    pub(super) fn new(json: bool, color: bool, target: &Target) -> Self {
        let title = match &target.path {
            None => "built in".to_owned(),
            Some(path) => {
                format!("{} {} ({})", target.metadata.name, target.metadata.version, path.display())
            }
        };
        let width = target.offers.iter().map(|offer| offer.to_string().len()).max().unwrap_or(0);
        Self { json, color, title, width, bad: Vec::new(), counts: [0; Verdict::ALL.len()], load_time: None }
    }

    pub(super) fn begin(&self, count: usize) -> io::Result<()> {
        if !self.json {
            writeln!(io::stdout().lock(), "{}: {}", self.title, plural(count, "case"))?;
        }
        Ok(())
    }

    /// What is not shown may tell the time of loading all the same.
    pub(super) fn note(&mut self, ended: &Ended) {
        self.load_time = ended.load_time.or(self.load_time);
    }

    pub(super) fn add(&mut self, job: &Job, ended: &Ended) -> io::Result<()> {
        self.note(ended);
        for (count, verdict) in self.counts.iter_mut().zip(Verdict::ALL) {
            *count += usize::from(verdict == ended.verdict);
        }
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, &line(job, ended))?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", self.human(job, ended))?;
        }
        out.flush()?;
        if ended.verdict.is_bad() {
            self.bad.push((job.clone(), ended.clone()));
        }
        Ok(())
    }

    fn human(&self, job: &Job, ended: &Ended) -> String {
        let offer = job.offer.as_ref().map(ToString::to_string).unwrap_or_default();
        let verdict = self.colored(ended.verdict);
        let seconds = ended.duration.as_secs_f64();
        let name = job.case.name();
        let reason = match (&ended.reason, ended.verdict) {
            (Some(reason), Verdict::Skipped) => format!(": {}", visible(reason)),
            _ => String::new(),
        };
        format!("{verdict} {seconds:8.3} s  {offer:width$}  {name}{reason}", width = self.width)
    }

    fn colored(&self, verdict: Verdict) -> String {
        let text = format!("{verdict:>9}");
        let code = match verdict {
            _ if !self.color => return text,
            Verdict::Passed => 32,
            Verdict::Skipped => 33,
            _ => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    pub(super) fn end(&self) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        for (job, ended) in &self.bad {
            let offer = job.offer.as_ref().map(|offer| format!(" of {offer}")).unwrap_or_default();
            writeln!(out, "\n{} {}{offer}", self.colored(ended.verdict).trim_start(), job.case.name())?;
            writeln!(out, "    must hold: {}", job.case.meaning())?;
            let reason = ended.reason.as_deref().unwrap_or("for no reason that is known");
            writeln!(out, "    but: {}", visible(reason).replace('\n', "\n         "))?;
            let lines: Vec<_> = ended.output.lines().collect();
            for line in &lines[lines.len().saturating_sub(OUTPUT_LINES)..] {
                writeln!(out, "    | {}", visible(line))?;
            }
        }
        let counted: Vec<_> = Verdict::ALL
            .into_iter()
            .zip(self.counts)
            .filter(|(_, count)| *count > 0)
            .map(|(verdict, count)| format!("{count} {verdict}"))
            .collect();
        let loaded = self.load_time.map(|time| format!("; loaded in {:.1} ms", time.as_secs_f64() * 1e3));
        let total = plural(self.counts.iter().sum(), "case");
        writeln!(out, "\n{total}: {}{}", counted.join(", "), loaded.unwrap_or_default())?;
        Ok(())
    }

    pub(super) fn is_success(&self) -> bool {
        self.bad.is_empty()
    }
}

fn line<'a>(job: &'a Job, ended: &'a Ended) -> Line<'a> {
    Line {
        case: job.case.name(),
        meaning: job.case.meaning(),
        offer: job.offer.as_ref().map(ToString::to_string),
        result: ended.verdict.as_str(),
        reason: ended.reason.as_deref(),
        duration: ended.duration.as_secs_f64(),
        load_time: ended.load_time.map(|time| time.as_secs_f64()),
        output: if ended.verdict.is_bad() { &ended.output } else { "" },
    }
}

/// `--list`: the cases, of all subjects or of those that the plugin offers.
pub(super) fn list(
    out: &mut impl Write,
    target: Option<&Target>,
    selection: &Selection,
) -> Result<(), Box<dyn Error>> {
    let suits = |case: &Case| {
        target.is_none_or(|target| {
            case.is_about_plugins() || target.offers.iter().any(|offer| case.is_about(offer.kind))
        })
    };
    let listed: Vec<_> = cases().filter(|case| selection.has(case) && suits(case)).collect();
    let width = listed.iter().map(|case| case.name().len()).max().unwrap_or(0);
    for case in listed {
        writeln!(out, "{:width$}  {}", case.name(), case.meaning())?;
    }
    Ok(())
}

/// A plugin's own text, with control characters as in Rust's literals: they could do anything to a terminal.
fn visible(text: &str) -> String {
    let escaped = |c: char| c.is_control() && c != '\n';
    text.chars().flat_map(|c| if escaped(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
