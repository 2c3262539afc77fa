//! From a path to a plugin: all steps, in their order.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use loophost_plugin_api::{__private::PluginRoot_Ref, ABI_MAJOR, ABI_MINOR, Descriptor, Error};

use super::{Identity, Inspected, LoadError, Plugin, Root, Source, Trust, inspect, layout, library::Library};

/// Loads the plugin file at `path`, if `trust` allows it, and starts it. The same file twice is the same plugin.
///
/// The order is: the path and who can change it, the open file and who can change that, what the file is, the versions in
/// its descriptor, and only then the code of the plugin: its constructors, the check of its types, its `Plugin::init`. So
/// nothing of a plugin that does not fit ever runs.
///
/// Any thread. A thread that loads a file which another one is just starting waits for that.
///
/// # Errors
/// See [`LoadError`]. A plugin whose `init` has failed is not started again: the error stays the same.
pub fn load(path: &Path, trust: &Trust) -> Result<&'static Plugin, LoadError> {
    let open_error = |source| LoadError::Open { path: path.into(), source };
    let canonical = fs::canonicalize(path).map_err(open_error)?;
    if !fs::metadata(&canonical).map_err(open_error)?.is_file() {
        // What it is comes before who could change it.
        inspect(path)?;
    }
    let distrusted = |distrust| LoadError::Distrusted { path: canonical.clone(), distrust };
    let path = &*trust.resolve(path).map_err(distrusted)?;
    let file = inspect::open(path)?;
    trust.check_open(path, &file).map_err(distrusted)?;
    let inspected = inspect::inspect_file(path, &file)?;
    inspected.check()?;
    let started = match loaded_before(&inspected)? {
        Some(started) => started,
        None => register(&inspected, link(&inspected, &file)?),
    };
    started.plugin()
}

/// Maps the file and finds the plugin's root in it.
fn link(inspected: &Inspected, file: &File) -> Result<Root, LoadError> {
    let library = Library::open(&inspected.path)?;
    library.check_is(file, inspected.identity)?;
    if inspected.descriptor.is_c() { library.c_root().map(Root::C) } else { rust_root(inspected, &library) }
}

fn rust_root(inspected: &Inspected, library: &Library) -> Result<Root, LoadError> {
    let path = &inspected.path;
    let no_root =
        |message| LoadError::NoRoot { path: path.clone(), symbol: Descriptor::ROOT_SYMBOL, message };
    let header = library.root_header()?.upgrade().map_err(|error| no_root(error.to_string()))?;
    let layout = header.layout().ok_or_else(|| no_root("it does not describe its types".into()))?;
    let descriptor = &inspected.descriptor;
    let is_older = (descriptor.abi_major, descriptor.abi_minor) < (ABI_MAJOR, ABI_MINOR);
    layout::check(layout, is_older).map_err(|differences| LoadError::Layout {
        path: path.clone(),
        differences: differences.lines,
        more: differences.more,
    })?;
    // SAFETY: the check above has compared the layout of what the header leads to with that of `PluginRoot_Ref`.
    let root = unsafe { header.unchecked_layout::<PluginRoot_Ref>() };
    root.map(Root::Rust).map_err(|error| no_root(error.to_string()))
}

/// A file that this process has linked: it stays so, with its inode, until the process ends.
struct Linked {
    path: PathBuf,
    identity: Identity,
    plugin: Plugin,
    started: OnceLock<Result<(), Error>>,
}

static LINKED: Mutex<Vec<&'static Linked>> = Mutex::new(Vec::new());

impl Linked {
    /// The plugin, once `init` has run: in one thread, with no lock held that the plugin could need.
    fn plugin(&'static self) -> Result<&'static Plugin, LoadError> {
        let start = || self.plugin.root.init();
        match self.started.get_or_init(start) {
            Ok(()) => Ok(&self.plugin),
            Err(error) => Err(LoadError::Init { path: self.path.clone(), source: error.clone() }),
        }
    }
}

/// The file, if it was linked before, under whatever name.
///
/// # Errors
/// It was not, but the previous file of this name was: the system's loader would give that one again.
fn loaded_before(inspected: &Inspected) -> Result<Option<&'static Linked>, LoadError> {
    let linked = LINKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = linked.iter().find(|linked| linked.identity == inspected.identity) {
        return Ok(Some(same));
    }
    match linked.iter().any(|linked| linked.path == inspected.path) {
        true => Err(LoadError::Replaced { path: inspected.path.clone() }),
        false => Ok(None),
    }
}

/// Remembers what was linked; another thread may have been faster with the same file.
fn register(inspected: &Inspected, root: Root) -> &'static Linked {
    let mut linked = LINKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = linked.iter().find(|linked| linked.identity == inspected.identity) {
        return same;
    }
    let path = inspected.path.clone();
    let source = Source::File(path.clone());
    let plugin = Plugin { source, metadata: inspected.metadata.clone(), root };
    let new = Linked { path, identity: inspected.identity, plugin, started: OnceLock::new() };
    let new: &'static Linked = Box::leak(Box::new(new));
    linked.push(new);
    new
}
