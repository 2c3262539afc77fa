//! What a file is instead of a plugin.

use std::{env::consts::ARCH, fmt};

use loophost_plugin_api::Descriptor;

/// Why the bytes of a file cannot be a plugin. Its `Display` says what the file is: "it is …".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// A folder.
    Folder,
    /// A device, pipe or socket.
    Special,
    /// Zero bytes.
    Empty,
    /// Text.
    Text,
    /// An `ar` archive: a static library.
    Archive,
    /// A library or program of Windows.
    Windows,
    /// A library or program of macOS.
    MacOs,
    /// Anything else that is not an ELF file.
    Unknown,
    /// A program.
    Executable,
    /// A compiled file that is not linked.
    ObjectFile,
    /// Built for another machine; which one.
    OtherMachine(&'static str),
    /// Its end is missing.
    Truncated {
        /// Bytes that there are.
        size: u64,
        /// Bytes that its headers describe.
        needed: u64,
    },
    /// An ELF file that contradicts itself; in which way.
    Damaged(&'static str),
    /// A sound shared library without a descriptor: it is no plugin.
    NoDescriptor,
    /// There is a descriptor, and it makes no sense.
    DamagedDescriptor,
}

impl Flaw {
    /// What a file that does not begin like an ELF file is, from its first bytes.
    pub(super) fn of_other_file(start: &[u8]) -> Self {
        const MACH_O: [[u8; 4]; 3] =
            [[0xcf, 0xfa, 0xed, 0xfe], [0xce, 0xfa, 0xed, 0xfe], [0xca, 0xfe, 0xba, 0xbe]];
        match start {
            [] => Self::Empty,
            [b'M', b'Z', ..] => Self::Windows,
            _ if start.starts_with(b"!<arch>\n") => Self::Archive,
            _ if MACH_O.iter().any(|magic| start.starts_with(magic)) => Self::MacOs,
            _ if is_text(start) => Self::Text,
            _ => Self::Unknown,
        }
    }
}

/// Whether it looks like text: UTF-8, but for a character that the end of the sample cuts, and no control characters.
fn is_text(sample: &[u8]) -> bool {
    let text = match std::str::from_utf8(sample) {
        Ok(text) => text,
        Err(cut) if cut.error_len().is_none() => {
            std::str::from_utf8(&sample[..cut.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace())
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => {
                f.write_str("it is a folder; name the file, or give the folder with --plugin-path")
            }
            Self::Special => f.write_str("it is a device, pipe or socket, not a regular file"),
            Self::Empty => f.write_str("it is empty; copy or build it again"),
            Self::Text => f.write_str("it is a text file, not a shared library"),
            Self::Archive => {
                f.write_str("it is a static library; a plugin is a shared one (crate-type = [\"cdylib\"])")
            }
            Self::Windows => f.write_str("it is a file for Windows; build it for this system"),
            Self::MacOs => f.write_str("it is a file for macOS; build it for this system"),
            Self::Unknown => f.write_str("it is not a shared library"),
            Self::Executable => f.write_str("it is a program, not a shared library"),
            Self::ObjectFile => f.write_str("it is an object file, not a shared library: link it"),
            Self::OtherMachine(machine) => {
                write!(f, "it is built for {machine}, and this host is {ARCH}; build it for {ARCH}")
            }
            Self::Truncated { size, needed } => {
                write!(f, "it is truncated: it has {size} bytes of at least {needed}; copy or build it again")
            }
            Self::Damaged(how) => write!(f, "it is damaged: {how}; copy or build it again"),
            Self::NoDescriptor => write!(
                f,
                "it is a shared library, but not a plugin: it has no symbol {}\n\
                 a plugin is exported by export_plugin! of the crate loophost-plugin-api, or LOOPHOST_PLUGIN of loophost.h",
                Descriptor::SYMBOL
            ),
            Self::DamagedDescriptor => {
                write!(f, "its descriptor {} makes no sense; build it again", Descriptor::SYMBOL)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_told_by_their_first_bytes() {
        let flaws: [(&[u8], Flaw); 8] = [
            (b"", Flaw::Empty),
            (b"#!/bin/sh\n\techo\r\n", Flaw::Text),
            ("grüß".as_bytes().split_last().expect("not empty").1, Flaw::Text),
            (b"MZ\x90\0", Flaw::Windows),
            (b"!<arch>\n/", Flaw::Archive),
            (b"\xcf\xfa\xed\xfe\x07", Flaw::MacOs),
            (b"\x1f\x8b\x08\0", Flaw::Unknown),
            (b"a\0b", Flaw::Unknown),
        ];
        for (start, flaw) in flaws {
            assert_eq!(Flaw::of_other_file(start), flaw);
        }
    }
}
