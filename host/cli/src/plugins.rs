//! `loophost plugin`: looks at plugins without running any of them; `check` runs them, see [`check`].

use std::{
    error::Error,
    ffi::OsStr,
    io::{self, Write},
};

use loophost::{
    Metadata, builtin,
    plugin::{self, Inspected, Listed, Reference, Target},
};

use crate::{
    args::{Args, Plugin},
    check,
    exit_status::Outcome,
    output,
    printable::{one_line, printable},
    settings::{self, Settings},
};

pub(crate) fn run(command: &Plugin, common: &Args) -> Result<Outcome, Box<dyn Error>> {
    let printed = match command {
        Plugin::List => list(&mut io::stdout().lock(), &Settings::begin(common)?),
        Plugin::Inspect { plugin } => inspect(&mut io::stdout().lock(), &Settings::begin(common)?, plugin),
        Plugin::Check(args) => return check::run(args, common),
        Plugin::CheckCase(args) => return check::run_case(args, common),
    };
    output::ended(printed)
}

fn list(out: &mut impl Write, settings: &Settings) -> Result<(), Box<dyn Error>> {
    let built_in = builtin::plugin();
    print_offers(out, "", built_in.metadata(), "built in")?;
    for Listed { name, path, origin, inspected, .. } in settings.search.list(&settings.trust) {
        match inspected {
            Ok(inspected) => {
                let source = one_line(&format!("{} ({origin})", path.display()));
                print_offers(out, &one_line(&name), &inspected.metadata, &source)?;
            }
            Err(error) => {
                let (name, reason) = (one_line(&name), printable(&error.to_string()));
                writeln!(out, "{name}\n    cannot be used: {}", reason.replace('\n', "\n    "))?;
            }
        }
    }
    Ok(())
}

/// A line for each offer; `plugin` is what one writes before the `#`, empty for the built-ins.
fn print_offers(out: &mut impl Write, plugin: &str, metadata: &Metadata, source: &str) -> io::Result<()> {
    for offer in &metadata.offers {
        let only = metadata.offers.iter().filter(|other| other.kind == offer.kind).count() == 1;
        let name = match (plugin, only) {
            ("", _) => offer.name.clone(),
            (plugin, true) => plugin.to_owned(),
            (plugin, false) => format!("{plugin}#{}", offer.name),
        };
        writeln!(out, "{:8} {name:24} {}", offer.kind.as_str(), offer.summary)?;
        writeln!(out, "{:33} {source}", "")?;
    }
    Ok(())
}

fn inspect(out: &mut impl Write, settings: &Settings, plugin: &OsStr) -> Result<(), Box<dyn Error>> {
    let path = match Reference::parse(plugin, &[])?.target {
        Target::Path(path) => {
            settings::refuse_if_secure("a path")?;
            path
        }
        Target::Name(name) | Target::BuiltIn(name) => settings.search.find(&name, &[])?.path,
    };
    let inspected = plugin::inspect(&path)?;
    print_inspected(out, &inspected)?;
    match inspected.check_trust(&settings.trust).and_then(|()| inspected.check()) {
        Ok(()) => writeln!(out, "usable    yes")?,
        Err(error) => {
            writeln!(out, "usable    no: {}", printable(&error.to_string()).replace('\n', "\n          "))?
        }
    }
    Ok(())
}

fn print_inspected(out: &mut impl Write, inspected: &Inspected) -> io::Result<()> {
    let Inspected { path, descriptor, metadata, .. } = inspected;
    writeln!(out, "file      {}", one_line(&path.display().to_string()))?;
    writeln!(out, "name      {} {}", metadata.name, metadata.version)?;
    writeln!(out, "summary   {}", metadata.summary)?;
    writeln!(
        out,
        "abi       {}.{}{}, needs a host of {}.{} or newer",
        descriptor.abi_major,
        descriptor.abi_minor,
        if descriptor.is_c() { " in C" } else { "" },
        descriptor.abi_major,
        descriptor.needs_minor
    )?;
    for offer in &metadata.offers {
        writeln!(out, "offers    {} {}: {}", offer.kind.as_str(), offer.name, offer.summary)?;
        for option in &offer.options {
            writeln!(out, "          {}=…: {}", option.key, option.help)?;
        }
    }
    Ok(())
}
