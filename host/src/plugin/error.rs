//! Why a plugin file was not loaded.

use std::{error, fmt, io, path::PathBuf};

use loophost_plugin_api::{ABI_MAJOR, ABI_MINOR, Descriptor, Error};

use super::{AbiVersion, Distrust, Flaw, one_line};

/// Why a plugin file was not loaded.
///
/// Its `Display` is one to three lines: the file, the reason, both versions where they differ, and what to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be opened.
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others may change the file.
    Distrusted {
        /// The file.
        path: PathBuf,
        /// Who, and where.
        distrust: Distrust,
    },
    /// The file is no plugin.
    Unusable {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        flaw: Flaw,
    },
    /// The plugin is built for another ABI.
    Abi {
        /// The file.
        path: PathBuf,
        /// The ABI that it is built for.
        plugin: AbiVersion,
        /// The lowest ABI of a host that it works with.
        needs: AbiVersion,
        /// The ABI of this host.
        host: AbiVersion,
    },
    /// The plugin needs a host that knows what these flags of its descriptor mean.
    UnknownFlags {
        /// The file.
        path: PathBuf,
        /// Bits of [`Descriptor::MUST_KNOW`].
        flags: u32,
    },
    /// The plugin is built with another series of `abi_stable`.
    AbiStable {
        /// The file.
        path: PathBuf,
        /// The plugin's version of it.
        plugin: String,
    },
    /// The plugin is built with `panic = "abort"`: a panic in it would end the host.
    PanicAbort {
        /// The file.
        path: PathBuf,
    },
    /// The plugin needs a function that nobody has.
    UndefinedSymbol {
        /// The file.
        path: PathBuf,
        /// The function's name.
        symbol: String,
    },
    /// The plugin needs a library that is not there.
    MissingLibrary {
        /// The file.
        path: PathBuf,
        /// The library's name.
        library: String,
    },
    /// The system's loader refuses the file.
    Dlopen {
        /// The file.
        path: PathBuf,
        /// The loader's reason.
        message: String,
    },
    /// What the loader gave is not the file that was checked: the file was replaced.
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The plugin has a descriptor and no code to go with it.
    NoRoot {
        /// The file.
        path: PathBuf,
        /// The symbol that leads to the code.
        symbol: &'static str,
        /// The reason.
        message: String,
    },
    /// Types of the plugin have another layout than those of the host.
    Layout {
        /// The file.
        path: PathBuf,
        /// The first differences, a line each: type, member, both sides.
        differences: Vec<String>,
        /// How many differences there are besides.
        more: usize,
    },
    /// The plugin's `Plugin::init` failed or panicked.
    Init {
        /// The file.
        path: PathBuf,
        /// The plugin's reason.
        source: Error,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path().display())?;
        match self {
            Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                f.write_str("there is no such file; check the path, or give a plugin's name without a slash")
            }
            Self::Open { source, .. } => write!(f, "it cannot be opened: {source}"),
            Self::Distrusted { distrust, .. } => write!(f, "it is not loaded: {distrust}"),
            Self::Unusable { flaw, .. } => write!(f, "{flaw}"),
            Self::Abi { plugin, host, needs, .. } => {
                write!(f, "it is built for plugin ABI {plugin}")?;
                if needs != plugin {
                    write!(f, " and needs {needs} or later")?;
                }
                write!(
                    f,
                    "; this host has {host}\n\
                     rebuild it with the loophost-plugin-api of this loophost, or use a loophost with plugin ABI {needs}"
                )
            }
            Self::UnknownFlags { flags, .. } => write!(
                f,
                "it needs a newer loophost: its descriptor has the flags {flags:#x}, which this one does not know\n\
                 use a newer loophost, or a build of the plugin for plugin ABI {ABI_MAJOR}.{ABI_MINOR}"
            ),
            Self::AbiStable { plugin, .. } => write!(
                f,
                "it is built with abi_stable {plugin}; this host has {}\n\
                 rebuild it with the loophost-plugin-api of this loophost and its Cargo.lock",
                Descriptor::ABI_STABLE
            ),
            Self::PanicAbort { .. } => f.write_str(
                "it is built with panic = \"abort\", so a panic in it would end the host\n\
                 rebuild it with panic = \"unwind\" in its Cargo profile",
            ),
            Self::UndefinedSymbol { symbol, .. } => write!(
                f,
                "it needs the symbol {symbol}, which no library has\n\
                 link the library that defines it, or build the plugin for this system"
            ),
            Self::MissingLibrary { library, .. } => {
                write!(f, "it needs the library {library}, which is not there; install it")
            }
            Self::Dlopen { message, .. } => write!(f, "the system cannot load it: {}", one_line(message)),
            Self::Replaced { .. } => f.write_str(
                "the file was replaced, and this process has the previous one loaded; restart to use the new one",
            ),
            Self::NoRoot { symbol, message, .. } => {
                write!(f, "it has a descriptor, but no usable symbol {symbol}: {}", one_line(message))
            }
            Self::Layout { differences, more, .. } => {
                f.write_str("it does not fit this host, though the version of its plugin ABI does")?;
                for difference in differences {
                    write!(f, "\n{difference}")?;
                }
                if *more > 0 {
                    write!(f, " (and {more} more)")?;
                }
                write!(f, "; rebuild it with the loophost-plugin-api of this loophost")
            }
            Self::Init { source, .. } => write!(f, "it failed to start: {}", one_line(source.message())),
        }
    }
}

impl error::Error for LoadError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Open { source, .. } => Some(source),
            Self::Distrusted { distrust, .. } => Some(distrust),
            Self::Init { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl LoadError {
    /// The file that it is about.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Open { path, .. }
            | Self::Distrusted { path, .. }
            | Self::Unusable { path, .. }
            | Self::Abi { path, .. }
            | Self::UnknownFlags { path, .. }
            | Self::AbiStable { path, .. }
            | Self::PanicAbort { path }
            | Self::UndefinedSymbol { path, .. }
            | Self::MissingLibrary { path, .. }
            | Self::Dlopen { path, .. }
            | Self::Replaced { path }
            | Self::NoRoot { path, .. }
            | Self::Layout { path, .. }
            | Self::Init { path, .. } => path,
        }
    }
}
