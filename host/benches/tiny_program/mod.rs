//! Programs of 132 bytes, which cost next to nothing to start.

#![allow(dead_code, reason = "each benchmark uses one of them")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

type Code = [u8; 12];

/// Exits at once, with 0.
pub(crate) const EXITS: Code = if cfg!(target_arch = "x86_64") {
    // xor edi, edi; mov eax, 231 (exit_group); syscall; nops
    [0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05, 0x90, 0x90, 0x90]
} else {
    // mov x0, #0; mov x8, #94 (exit_group); svc #0
    [0x00, 0x00, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4]
};

/// Waits for a signal.
pub(crate) const WAITS: Code = if cfg!(target_arch = "x86_64") {
    // mov eax, 34 (pause); syscall; jmp to the first; nops
    [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7, 0x90, 0x90, 0x90]
} else {
    // mov x8, #73 (ppoll of nothing, as x0 to x3 are 0 at the start); svc #0; b to the first
    [0x28, 0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xfe, 0xff, 0xff, 0x17]
};

/// Writes the program into a file that can be executed: an ELF file with one segment, which holds all of it and begins
/// with the file's header.
pub(crate) fn write(path: &Path, code: Code) {
    fs::write(path, elf(code)).expect("the program is written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it may be executed");
}

fn elf(code: Code) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    const ADDRESS: u64 = 0x40_0000;
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves =
        |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let words = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let longs = |file: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    // Type (executable), machine, version; entry, program headers, section headers; flags; sizes and counts.
    halves(&mut file, &[2, machine]);
    words(&mut file, &[1]);
    longs(&mut file, &[ADDRESS + HEADERS, 64, 0]);
    words(&mut file, &[0]);
    halves(&mut file, &[64, 56, 1, 0, 0, 0]);
    // Type (load), flags (read, execute); offset, address twice, size in file and memory, alignment.
    words(&mut file, &[1, 5]);
    longs(&mut file, &[0, ADDRESS, ADDRESS, size, size, 0x1_0000]);
    file.extend(code);
    file
}
