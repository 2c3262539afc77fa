//! Plugins: finding a file, checking it without running it, loading it, and making what it offers.
//!
//! ```no_run
//! use loophost::plugin::{self, Reference, SearchPath, Target, Trust};
//!
//! let wanted = Reference::parse("poll".as_ref(), &["default"])?;
//! let path = match &wanted.target {
//!     Target::BuiltIn(_) => return Ok(()),
//!     Target::Path(path) => path.clone(),
//!     Target::Name(name) => SearchPath::new([]).find(name, &["default"])?.path,
//! };
//! let plugin = plugin::load(&path, &Trust::new())?;
//! let policy = plugin.new_policy(wanted.offer.as_deref(), &loophost::Options::new(), None)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Trust
//! Loading a plugin is running its code, with all the rights of the process. [`Trust`] keeps out what somebody else
//! could have put there; it does not judge what root or the user has installed.
//!
//! # What cannot be caught
//! Before any of it runs, a file is refused if it is damaged in its headers, in the tables that the system's loader works
//! by (dynamic table, symbols, their hashes and versions), or in its descriptor. Once its code runs, a panic in it becomes
//! an error. What is left can end the process or keep it from going on:
//! - wrong bytes in code and data, relocations for another place or symbol, other names of functions that do exist, and
//!   constructors (`DT_INIT`, `.init_array`) of a plugin that fits;
//! - a panic in a drop while another panic unwinds, which Rust answers with an abort; overflow of the stack; unsafe code;
//! - a file that is written to while it is mapped: plugins are replaced by renaming a new file over the old one;
//! - a method that never returns, as a `run_forever` that ignores `stop` does.
//!
//! # Life of a plugin
//! A plugin is never unloaded: its threads, thread-locals and vtables may be in use until the process ends. The same
//! file loaded twice is the same [`Plugin`].

mod abi_version;
#[allow(unsafe_code, reason = "the tables of plugins in C")]
mod c;
mod elf;
mod error;
mod flaw;
mod inspect;
mod layout;
#[allow(unsafe_code, reason = "dlopen and what it finds")]
mod library;
#[allow(unsafe_code, reason = "what dlopen found, after the layout check")]
mod load;
mod offer;
mod reference;
mod root;
mod search_path;
mod trust;

use std::{ffi::c_void, fmt, path::PathBuf};

use loophost_plugin_api::{__private::PluginRoot_Ref, Descriptor, Metadata, Plugin as Author};

pub use abi_version::AbiVersion;
pub use error::LoadError;
pub use flaw::Flaw;
pub use inspect::{Identity, Inspected, inspect};
pub use load::load;
pub use offer::{OfferError, OfferErrorKind};
pub use reference::{Reference, ReferenceError, Target};
use root::Root;
pub use search_path::{Found, Listed, NotFound, Origin, SearchFolder, SearchPath};
pub use trust::{Distrust, Rule, Trust};

/// A plugin that can be used: a file that was loaded, or the built-ins.
pub struct Plugin {
    source: Source,
    metadata: Metadata,
    root: Root,
}

/// Where a plugin comes from. Its `Display` is the path, or "built in".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is linked into the host.
    BuiltIn,
    /// It was loaded from this file: the canonical path.
    File(PathBuf),
}

impl Plugin {
    /// The plugin that is linked in: see [`builtin::plugin`](crate::builtin::plugin).
    pub(crate) fn built_in<P: Author>(descriptor: &'static Descriptor) -> Self {
        let metadata = descriptor.metadata().unwrap_or_default();
        Self { source: Source::BuiltIn, metadata, root: Root::Rust(PluginRoot_Ref::of::<P>()) }
    }

    /// The table of extension `vendor.name/1`, or null: a static, see [`ExtensionHead`](crate::ExtensionHead).
    pub fn extension(&self, id: &str) -> *const c_void {
        self.root.extension(id)
    }

    /// Where it comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Its name, version and offers.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, metadata, root: _ } = self;
        f.debug_struct("Plugin").field("source", source).field("metadata", metadata).finish_non_exhaustive()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Somebody else's text as part of a line.
fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
