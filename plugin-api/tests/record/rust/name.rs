//! What a type is called, such that no two that differ are called the same.

use abi_stable::{
    std_types::UTypeId,
    type_layout::{TLData, TLPrimitive, TypeLayout},
};

/// The crate whose types are told apart by what they are made of: abi_stable writes `RVec`, whatever is in it.
const GENERIC: &str = "abi_stable";
/// Members that are alike in all types of that name.
const TELL_NOTHING: [&str; 4] = ["length", "capacity", "vtable", "_marker"];

/// The name with all that it is made of: `RResult<HandleId, Error>`.
pub(super) fn name(layout: &'static TypeLayout) -> String {
    Namer::default().name(layout)
}

#[derive(Default)]
struct Namer {
    /// What is being named: types that lead back to themselves are named by one word there.
    outer: Vec<UTypeId>,
}

impl Namer {
    fn name(&mut self, layout: &'static TypeLayout) -> String {
        let word = word(layout);
        if self.outer.contains(&layout.get_utypeid()) {
            return word;
        }
        self.outer.push(layout.get_utypeid());
        let parts = self.parts(layout);
        self.outer.pop();
        match layout.data() {
            TLData::Primitive(TLPrimitive::SharedRef) => format!("&{}", parts.join(" ")),
            TLData::Primitive(TLPrimitive::MutRef) => format!("&mut {}", parts.join(" ")),
            TLData::Primitive(TLPrimitive::ConstPtr) => format!("*const {}", parts.join(" ")),
            TLData::Primitive(TLPrimitive::MutPtr) => format!("*mut {}", parts.join(" ")),
            _ if parts.is_empty() => word,
            _ => format!("{word}<{}>", parts.join(", ")),
        }
    }

    /// Its parameters; those of a type of [`GENERIC`] are known by the members that have them.
    fn parts(&mut self, layout: &'static TypeLayout) -> Vec<String> {
        let generics = layout.generics();
        let types = generics.type_params().iter().map(|layout| layout());
        let fields =
            layout.get_fields().filter(|_| layout.package().as_str() == GENERIC && !layout.is_prefix_kind());
        let telling = fields.into_iter().flatten().filter(|field| !TELL_NOTHING.contains(&field.name()));
        let mut parts: Vec<_> = generics.lifetimes().map(str::to_owned).collect();
        for part in types.chain(telling.map(|field| field.layout())).map(|layout| self.name(layout)) {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts.extend(generics.const_params().iter().map(|constant| format!("{constant:?}")));
        parts
    }
}

/// The tables that `#[sabi_trait]` makes are all called `VTable`, in a module called after the trait.
fn word(layout: &'static TypeLayout) -> String {
    match layout.name() {
        "VTable" => layout.mod_path().to_string().rsplit("::").next().unwrap().replace("_trait", "::VTable"),
        name => name.to_owned(),
    }
}
