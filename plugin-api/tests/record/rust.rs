//! The Rust half of the ABI: each type that crosses, with all that a host compares of it.

mod name;

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Write as _,
};

use abi_stable::{
    StableAbi,
    std_types::UTypeId,
    type_layout::{LifetimeArrayOrSlice, TLData, TLField, TLFunction, TypeLayout},
};
use loophost_plugin_api::{
    __private::{Growing, LogField, LogRecord, PluginRoot_Ref},
    ChildExit, Descriptor, ExceptionContext, ExtensionHead, IoVec,
};

use self::name::name;
use crate::growth::GROWS;

pub(crate) fn record() -> String {
    let (mut seen, mut types) = (HashSet::new(), BTreeSet::new());
    visit(PluginRoot_Ref::LAYOUT, &mut seen, &mut types);
    // They cross behind pointers, where abi_stable does not see them.
    for layout in [IoVec::LAYOUT, ExtensionHead::LAYOUT, LogField::LAYOUT] {
        visit(layout, &mut seen, &mut types);
    }
    types.insert(describe_growing::<ChildExit>());
    types.insert(describe_growing::<ExceptionContext<'_>>());
    types.insert(describe_growing::<LogRecord<'_>>());
    let symbols = [Descriptor::SYMBOL, Descriptor::ROOT_SYMBOL, Descriptor::C_ROOT_SYMBOL];
    types.insert(format!("symbols {symbols:?}, magic {:?}\n", Descriptor::MAGIC.escape_ascii().to_string()));
    types.into_iter().collect()
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

/// A struct that begins with its size.
fn describe_growing<T: Growing + StableAbi>() -> String {
    let layout = T::LAYOUT;
    let fields = layout.get_fields().unwrap();
    let end = fields
        .iter()
        .fold(0_usize, |end, field| end.next_multiple_of(field.layout().alignment()) + field.layout().size());
    assert_eq!(end, layout.size(), "{}: a member to come would be in the padding at the end", layout.name());
    let head = format!("{} {}: struct {GROWS} from {} bytes", layout.package(), name(layout), T::SMALLEST);
    with_members(&head, fields)
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
    with_members(&text, fields.into_iter().flatten().chain(layout.phantom_fields()))
}

fn with_members(head: &str, fields: impl IntoIterator<Item = TLField>) -> String {
    let members = fields.into_iter().map(|field| format!("    {}\n", member(&field)));
    [one_line(head), "\n".to_owned()].into_iter().chain(members).collect()
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
