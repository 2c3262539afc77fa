//! A shared library in this process: dlopen(3) and dlsym(3).

use std::{
    ffi::c_void,
    fs::File,
    mem::ManuallyDrop,
    path::{Path, PathBuf},
};

use abi_stable::library::AbiHeaderRef;
use libloading::os::unix::{Library as Handle, RTLD_LOCAL, RTLD_NOW};
use loophost_plugin_api::Descriptor;

use super::{Identity, LoadError, c::CRoot};
use crate::sys::mapped_file;

/// A library that stays loaded: it is never closed, see [`super`].
pub(super) struct Library {
    path: PathBuf,
    handle: ManuallyDrop<Handle>,
}

impl Library {
    /// Loads the file at `path`, which is absolute. Runs the constructors in its `.init_array`.
    ///
    /// All its symbols are resolved now, not when they are first called, and none is offered to other libraries.
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        // SAFETY: running the constructors of a file of unknown origin is unsafe; `Trust` has made sure that only
        // root or the user can have put it there, and `inspect` that it is a complete library of this machine.
        let opened = unsafe { Handle::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
        let handle = opened.map_err(|error| open_error(path, &text(&error)))?;
        Ok(Self { path: path.into(), handle: ManuallyDrop::new(handle) })
    }

    /// Checks that what the loader gave is `file`, which was checked, and not another one by the same name: the
    /// loader compares names first and never looks at a file that has replaced one it has loaded.
    pub(super) fn check_is(&self, file: &File, checked: Identity) -> Result<(), LoadError> {
        let descriptor = self.symbol(Descriptor::SYMBOL)?;
        let same = mapped_file::is_mapped_from(descriptor, file).unwrap_or_else(|error| {
            // Without /proc: at least the name still leads to the file that was checked.
            tracing::debug!("cannot see what is mapped, comparing the file's name instead: {error}");
            self.path.metadata().is_ok_and(|found| Identity::of(&found) == checked)
        });
        if same { Ok(()) } else { Err(LoadError::Replaced { path: self.path.clone() }) }
    }

    /// The header that abi_stable needs to check the plugin's root.
    pub(super) fn root_header(&self) -> Result<AbiHeaderRef, LoadError> {
        let name = Descriptor::ROOT_SYMBOL;
        // SAFETY: `export_plugin!` puts a `LibHeader` there, which begins with an `AbiHeader`, the type that all
        // versions of abi_stable have in common; the descriptor vouches that `export_plugin!` made this library.
        let symbol = unsafe { self.handle.get::<AbiHeaderRef>(name) };
        symbol.map(|header| *header).map_err(|error| self.no_symbol(name, &error))
    }

    /// The functions of a plugin in C.
    pub(super) fn c_root(&self) -> Result<CRoot, LoadError> {
        let name = Descriptor::C_ROOT_SYMBOL;
        let table = self.symbol(name)?;
        // SAFETY: the descriptor vouches that the library is a plugin in C, with such a table; it is never unloaded.
        unsafe { CRoot::new(table) }.map_err(|error| LoadError::NoRoot {
            path: self.path.clone(),
            symbol: name,
            message: error.message().to_owned(),
        })
    }

    /// The address of a symbol.
    fn symbol(&self, name: &'static str) -> Result<*const c_void, LoadError> {
        // SAFETY: the type is a pointer that is not read here, so any symbol will do.
        let symbol = unsafe { self.handle.get::<*const c_void>(name) };
        symbol.map(|symbol| symbol.as_raw_ptr().cast_const()).map_err(|error| self.no_symbol(name, &error))
    }

    fn no_symbol(&self, symbol: &'static str, error: &libloading::Error) -> LoadError {
        LoadError::NoRoot { path: self.path.clone(), symbol, message: text(error) }
    }
}

/// The loader's own text, which libloading keeps in the source.
fn text(error: &libloading::Error) -> String {
    std::error::Error::source(error).unwrap_or(error).to_string()
}

/// Sorts the loader's texts (those of glibc and musl).
fn open_error(path: &Path, message: &str) -> LoadError {
    let path = path.to_owned();
    // "FILE: undefined symbol: NAME" or "…, version VERSION"; "Error relocating FILE: NAME: symbol not found".
    if let Some((_, symbol)) = message.split_once("undefined symbol: ") {
        let symbol = symbol.split([',', ' ', '\t']).next().unwrap_or(symbol).to_owned();
        return LoadError::UndefinedSymbol { path, symbol };
    }
    if let Some(symbol) = message.strip_suffix(": symbol not found") {
        let symbol = symbol.rsplit(": ").next().unwrap_or(symbol).to_owned();
        return LoadError::UndefinedSymbol { path, symbol };
    }
    // "NAME: cannot open shared object file: No such file or directory"
    if let Some((library, rest)) = message.split_once(": cannot open shared object file")
        && rest.contains("No such file")
    {
        return LoadError::MissingLibrary { path, library: library.to_owned() };
    }
    let own_name = format!("{}: ", path.display());
    let message = message.strip_prefix(&own_name).unwrap_or(message).to_owned();
    LoadError::Dlopen { path, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(message: &str) -> String {
        let error = open_error(Path::new("/p/libx.so"), message).to_string();
        assert!(error.starts_with("/p/libx.so: ") && error.lines().count() <= 2, "{error}");
        error
    }

    #[test]
    fn texts_of_the_loader_are_understood() {
        for message in [
            "/p/libx.so: undefined symbol: uv_loop_init",
            "/p/libx.so: undefined symbol: uv_loop_init, version UV_1",
            "Error relocating /p/libx.so: uv_loop_init: symbol not found",
        ] {
            assert!(reason(message).contains("needs the symbol uv_loop_init,"));
        }
        let missing = "libuv.so.1: cannot open shared object file: No such file or directory";
        assert!(reason(missing).contains("needs the library libuv.so.1,"));
        let old = "/lib/libc.so.6: version `GLIBC_2.99' not found (required by /p/libx.so)";
        assert!(reason(old).contains("GLIBC_2.99"));
        assert!(
            reason("/p/libx.so: cannot map\nzero-fill pages")
                .ends_with("load it: cannot map; zero-fill pages")
        );
    }
}
