//! The Rust half of the ABI: each type that crosses, with all that a host compares of it.

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Write as _,
    mem::offset_of,
};

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr, UTypeId},
    type_layout::{LifetimeArrayOrSlice, TLData, TLField, TLFunction, TypeLayout},
};
use loophost_plugin_api::{
    __private::{Growing, LogField, LogRecord, PluginRoot_Ref},
    ChildExit, Error, ExceptionContext, KeyValue,
};

use crate::growth::GROWS;

pub(crate) fn record() -> String {
    let (mut seen, mut types) = (HashSet::new(), BTreeSet::new());
    visit(PluginRoot_Ref::LAYOUT, &mut seen, &mut types);
    types.extend(structs_that_begin_with_their_size());
    types.into_iter().collect()
}

/// They cross behind pointers, where abi_stable does not see them.
fn structs_that_begin_with_their_size() -> [String; 3] {
    macro_rules! describe {
        ($type:ident: $($member:ident $kind:ty),*) => {{
            let _ = |it: &$type| {
                $(let _: &$kind = &it.$member;)*
            };
            let members =
                [$((offset_of!($type, $member), size_of::<$kind>(), stringify!($member: $kind)),)*];
            describe_growing::<$type>(stringify!($type), &members)
        }};
    }
    [
        describe!(ChildExit: raw_status i32, utime_us u64, stime_us u64, maxrss_kb u64),
        describe!(ExceptionContext: message RStr<'_>, error Option<&Error>, details RSlice<'_, KeyValue>),
        describe!(LogRecord:
            level u32, line u32, target RStr<'_>, file RStr<'_>, message RStr<'_>, fields RSlice<'_, LogField>),
    ]
}

fn describe_growing<T: Growing>(name: &str, members: &[(usize, usize, &str)]) -> String {
    let mut text = format!("loophost-plugin-api {name}: struct {GROWS} from {} bytes\n", T::SMALLEST);
    let mut end = size_of::<u32>();
    for (offset, size, member) in members {
        writeln!(text, "    {member} at {offset}").unwrap();
        end = offset + size;
    }
    assert_eq!(end, size_of::<T>(), "{name} has members that are not recorded");
    text
}

fn visit(layout: &'static TypeLayout, seen: &mut HashSet<UTypeId>, types: &mut BTreeSet<String>) {
    if !seen.insert(layout.get_utypeid()) {
        return;
    }
    types.insert(describe(layout));
    for used in layout.shared_vars().type_layouts() {
        visit(used(), seen, types);
    }
}

/// A line about the type, and an indented one about each of its members.
fn describe(layout: &'static TypeLayout) -> String {
    let mut text = format!("{} {}: ", layout.package(), name(layout));
    let (kind, fields) = match layout.data() {
        TLData::Primitive(_) => ("primitive", None),
        TLData::Opaque => ("opaque", None),
        TLData::Struct { fields } => ("struct", Some(fields)),
        TLData::Union { fields } => ("union", Some(fields)),
        TLData::Enum(it) => ("enum", Some(it.fields)),
        TLData::PrefixType(it) => ("table", Some(it.fields)),
    };
    match layout.data() {
        // Its size is that of its members, of which there may be more.
        TLData::PrefixType(it) => write!(text, "{kind} {GROWS} of {} members", it.first_suffix_field),
        _ => write!(
            text,
            "{kind} of {} bytes, aligned to {}, {:?}",
            layout.size(),
            layout.alignment(),
            layout.repr_attr()
        ),
    }
    .unwrap();
    if let TLData::Enum(it) = layout.data() {
        write!(text, ", {} {:?} with {:?} members", it.variant_names, it.discriminants, it.field_count)
            .unwrap();
    }
    if let Some(checks) = layout.extra_checks() {
        write!(text, ", {checks}").unwrap();
    }
    let mut text = one_line(&text);
    for field in fields.into_iter().flatten().chain(layout.phantom_fields()) {
        writeln!(text, "\n    {}", member(&field)).unwrap();
        text.pop();
    }
    text.push('\n');
    text
}

/// That of abi_stable, with what is in it: `RResult<HandleId, Error>`.
fn name(layout: &'static TypeLayout) -> String {
    let full_type = layout.full_type().to_string();
    let inside = match layout.data() {
        TLData::Enum(it) => it.fields.iter().map(|field| name(field.layout())).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    if inside.is_empty() { full_type } else { format!("{full_type}<{}>", inside.join(", ")) }
}

fn member(field: &TLField) -> String {
    let functions: Vec<_> = field.function_range().iter().map(function).collect();
    let kind = if functions.is_empty() { name(field.layout()) } else { functions.join(" ") };
    one_line(&format!("{}: {kind}{}", field.name(), lifetimes(field.lifetime_indices())))
}

fn function(it: TLFunction) -> String {
    let parameters: Vec<_> = it.param_type_layouts.iter().map(|layout| name(layout())).collect();
    let result = it.return_type_layout().map_or("()".to_owned(), |layout| name(layout()));
    format!(
        "{}fn({}) -> {result}, names {:?} {:?}{}",
        if it.fn_qualifs.is_unsafe() { "unsafe " } else { "" },
        parameters.join(", "),
        it.param_names,
        it.bound_lifetimes,
        lifetimes(it.paramret_lifetime_indices),
    )
}

fn lifetimes(it: LifetimeArrayOrSlice<'_>) -> String {
    if it.is_empty() { String::new() } else { format!(", {it:?}") }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
