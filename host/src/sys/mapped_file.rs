//! Which file lies behind an address.

use std::{
    ffi::c_void,
    fs::{self, File},
    io,
    num::NonZeroUsize,
};

use nix::sys::mman::{self, MapFlags, ProtFlags};

/// Whether `address` belongs to a mapping of `file`.
///
/// `/proc/self/maps` has device and inode for each mapping, but on btrfs and on some overlays not those that stat(2)
/// gives. So a page of `file` is mapped as well, without being touched, and the two entries are compared.
///
/// # Errors
/// `/proc` is not mounted, or the page could not be mapped.
pub(crate) fn is_mapped_from(address: *const c_void, file: &File) -> io::Result<bool> {
    let page = Page::of(file)?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mapped = identity(&maps, address.addr());
    Ok(mapped.is_some() && mapped == identity(&maps, page.0.addr().get()))
}

/// The first page of a file, mapped and never read: a file that is truncated meanwhile cannot hurt.
struct Page(std::ptr::NonNull<c_void>);

const PAGE: NonZeroUsize = NonZeroUsize::MIN;

impl Page {
    fn of(file: &File) -> io::Result<Self> {
        // SAFETY: the kernel chooses a free place, and nothing ever reads or writes there.
        let place = unsafe { mman::mmap(None, PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, file, 0) }?;
        Ok(Self(place))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: `of` has mapped it, and nobody else knows of it.
        let _ = unsafe { mman::munmap(self.0, PAGE.get()) };
    }
}

/// Device and inode, as the kernel writes them, of the mapping that holds `address`; `None` if there is none or it
/// is not of a file.
fn identity(maps: &str, address: usize) -> Option<(&str, &str)> {
    maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let (_mode, _offset, device, inode) = (words.next()?, words.next()?, words.next()?, words.next()?);
        (range.contains(&address) && inode != "0").then_some((device, inode))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
        00400000-00401000 r--p 00000000 fe:01 1234                       /usr/bin/a b\n\
        00600000-00601000 rw-p 00000000 00:00 0                          [heap]\n";

    #[test]
    fn a_line_of_maps_is_read() {
        assert_eq!(identity(MAPS, 0x400fff), Some(("fe:01", "1234")));
        assert_eq!(identity(MAPS, 0x401000), None);
        assert_eq!(identity(MAPS, 0x600000), None);
    }

    #[test]
    fn code_of_this_program_lies_in_its_file() {
        let here = is_mapped_from as *const c_void;
        let own = File::open("/proc/self/exe").unwrap();
        assert!(is_mapped_from(here, &own).unwrap());
        let other = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        assert!(!is_mapped_from(here, &other).unwrap());
    }
}
