//! Whether the types of a plugin are laid out as the host's are.

use abi_stable::{
    StableAbi,
    abi_stability::abi_checking::{
        AbiInstability, AbiInstabilityError, AbiInstabilityErrors, check_layout_compatibility,
    },
    type_layout::{TLFieldOrFunction, TypeLayout},
};
use loophost_plugin_api::{__private::PluginRoot_Ref, Error};

/// Lines of a message that name a difference.
const LINES: usize = 2;

/// How the layouts differ, in a few lines: abi_stable's own text is 60 KB.
#[derive(Debug)]
pub(super) struct Differences {
    /// The first ones, a line each.
    pub(super) lines: Vec<String>,
    /// How many there are besides.
    pub(super) more: usize,
}

/// Compares the plugin's `root` with the host's. `is_older`: the plugin's minor is below the host's.
pub(super) fn check(root: &'static TypeLayout, is_older: bool) -> Result<(), Differences> {
    compare(PluginRoot_Ref::LAYOUT, root, is_older, Error::LAYOUT.package().as_str())
}

/// `ours`: the crate whose types an author knows.
fn compare(
    host: &'static TypeLayout,
    plugin: &'static TypeLayout,
    is_older: bool,
    ours: &str,
) -> Result<(), Differences> {
    // The second may have more members at its end than the first. With an older plugin that is the host.
    let (fewer, more) = if is_older { (plugin, host) } else { (host, plugin) };
    match check_layout_compatibility(fewer, more) {
        Err(errors) => shorten(&errors, ours, is_older).map_or(Ok(()), Err),
        Ok(()) => Ok(()),
    }
}

/// `None` if they differ in nothing that matters.
fn shorten(errors: &AbiInstabilityErrors, ours: &str, is_older: bool) -> Option<Differences> {
    let mut all: Vec<String> = Vec::new();
    for error in &errors.errors {
        let place = place(error, ours);
        // Not the version of the crate that has the type: the ABI's is in the descriptor, and abi_stable's is pinned.
        let matters = |difference: &&AbiInstability| !matches!(difference, AbiInstability::PackageVersion(_));
        for difference in error.errs.iter().filter(matters) {
            let line = format!("{place} {}", describe(difference, is_older));
            if !all.contains(&line) {
                all.push(line);
            }
        }
    }
    let more = all.len().saturating_sub(LINES);
    all.truncate(LINES);
    (!all.is_empty()).then_some(Differences { lines: all, more })
}

/// The innermost type of ours, and the members below it that lead to the difference: `PluginRoot.new_policy`.
fn place(error: &AbiInstabilityError, ours: &str) -> String {
    let mut names = vec!["PluginRoot".to_owned()];
    for step in &error.stack_trace {
        let TLFieldOrFunction::Field(field) = step.found else { continue };
        if is_telling(field.name()) {
            names.push(field.name().to_owned());
        }
        if field.layout().package().as_str() == ours {
            names = vec![type_name(field.layout())];
        }
    }
    names.dedup();
    names.join(".")
}

/// The tables that `#[sabi_trait]` makes are all called `VTable`, in a module called after the trait.
fn type_name(layout: &TypeLayout) -> String {
    if layout.name() != "VTable" {
        return layout.name().to_owned();
    }
    let module = layout.mod_path().to_string();
    module.rsplit("::").next().unwrap_or_default().trim_end_matches("_trait").to_owned()
}

/// Whether a member has a name that an author knows, and not one that abi_stable has made up.
fn is_telling(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && !["obj", "vtable"].contains(&name)
        && !name.starts_with("field_")
}

/// What is on which side.
fn describe(difference: &AbiInstability, is_older: bool) -> String {
    let text = |what: &str, expected: String, found: String| {
        let (host, plugin) = if is_older { (found, expected) } else { (expected, found) };
        format!("{what} {plugin} in the plugin, {host} in the host")
    };
    match difference {
        AbiInstability::Name(x) => text("is", x.expected.to_string(), x.found.to_string()),
        AbiInstability::Package(x) => text("comes from", x.expected.to_string(), x.found.to_string()),
        AbiInstability::FieldCountMismatch(x) => {
            text("has this many members:", x.expected.to_string(), x.found.to_string())
        }
        AbiInstability::MismatchedPrefixSize(x) => {
            text("has this many required members:", x.expected.to_string(), x.found.to_string())
        }
        AbiInstability::UnexpectedField(x) => {
            text("has here the member", x.expected.name().to_owned(), x.found.name().to_owned())
        }
        AbiInstability::Size(x) => text("has this many bytes:", x.expected.to_string(), x.found.to_string()),
        AbiInstability::Alignment(x) => {
            text("has the alignment", x.expected.to_string(), x.found.to_string())
        }
        other => {
            // The rest are rare, and their values are too long to print: the kind says what to look at.
            let kind = format!("{other:?}");
            let kind = kind.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("layout").to_owned();
            format!("differs between plugin and host ({kind})")
        }
    }
}

#[cfg(test)]
#[allow(
    non_camel_case_types,
    dead_code,
    unreachable_pub,
    unsafe_code,
    reason = "code that abi_stable generates"
)]
mod tests {
    use super::*;

    const OURS: &str = env!("CARGO_PKG_NAME");

    /// What a host has.
    mod host {
        use abi_stable::StableAbi;

        #[repr(C)]
        #[derive(StableAbi)]
        pub(super) struct Event {
            kind: u32,
            result: i64,
        }

        #[repr(C)]
        #[derive(StableAbi)]
        #[sabi(kind(Prefix(prefix_ref = Root_Ref)))]
        pub(super) struct Root {
            call: extern "C" fn(Event) -> u32,
            #[sabi(last_prefix_field)]
            stop: extern "C" fn(u32),
        }
    }

    /// As `host`, with a smaller event.
    mod smaller_event {
        use abi_stable::StableAbi;

        #[repr(C)]
        #[derive(StableAbi)]
        pub(super) struct Event {
            kind: u32,
            result: u32,
        }

        #[repr(C)]
        #[derive(StableAbi)]
        #[sabi(kind(Prefix(prefix_ref = Root_Ref)))]
        pub(super) struct Root {
            call: extern "C" fn(Event) -> u32,
            #[sabi(last_prefix_field)]
            stop: extern "C" fn(u32),
        }
    }

    /// As `host`, a minor later.
    mod later {
        use abi_stable::StableAbi;

        #[repr(C)]
        #[derive(StableAbi)]
        #[sabi(kind(Prefix(prefix_ref = Root_Ref)))]
        pub(super) struct Root {
            call: extern "C" fn(super::host::Event) -> u32,
            #[sabi(last_prefix_field)]
            stop: extern "C" fn(u32),
            news: extern "C" fn(u64),
        }
    }

    #[test]
    fn a_later_minor_fits_on_either_side() {
        let (host, later) = (host::Root_Ref::LAYOUT, later::Root_Ref::LAYOUT);
        compare(host, host, false, OURS).unwrap();
        compare(host, later, false, OURS).unwrap();
        compare(later, host, true, OURS).unwrap();
        assert!(compare(later, host, false, OURS).is_err(), "if this passes, there is no need to swap");
    }

    #[test]
    fn a_difference_names_the_type_and_both_sides() {
        let (host, plugin) = (host::Root_Ref::LAYOUT, smaller_event::Root_Ref::LAYOUT);
        let differences = compare(host, plugin, false, OURS).unwrap_err();
        let text = differences.lines.join("\n");
        assert!(differences.lines.len() <= LINES, "{text}");
        assert!(text.contains("Event has this many bytes: 8 in the plugin, 16 in the host"), "{text}");
        assert!(text.lines().all(|line| line.len() < 160), "{text}");
    }
}
