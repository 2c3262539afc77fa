//! Loading real files: what works, and how everything else is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, File, OpenOptions, Permissions},
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::Path,
    ptr,
};

use loophost::{
    ABI_MAJOR, ABI_MINOR, Descriptor, LoopHandle, OfferKind, Options, Policy, PolicyHandle,
    plugin::{self, Flaw, LoadError, OfferErrorKind, Plugin, Rule, Source},
};
use loophost_tests::{
    cdylib,
    plugin_file::{copy, copy_of, folder, with_descriptor},
    trust,
};

const GOOD: &str = "loophost-fixture-good";

fn load(path: &Path) -> Result<&'static Plugin, LoadError> {
    plugin::load(path, &trust())
}

/// Loads what cannot be loaded; the message must name the file and take three lines at most.
fn refused(path: &Path) -> (LoadError, String) {
    let error = load(path).expect_err("it must be refused");
    let message = error.to_string();
    assert!(message.starts_with(&format!("{}: ", path.display())), "{message}");
    assert!(message.lines().count() <= 3, "{message}");
    assert!(message.lines().all(|line| !line.trim().is_empty()), "{message}");
    (error, message)
}

fn flaw_of(path: &Path) -> Flaw {
    match refused(path) {
        (LoadError::Unusable { flaw, .. }, _) => flaw,
        (other, _) => panic!("{other:?}"),
    }
}

/// A base that has no loops of its own.
struct Base;

impl Policy for Base {
    fn get_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, loophost::Error> {
        this.new_event_loop()
    }
}

#[test]
fn a_good_plugin_is_loaded_and_makes_what_it_offers() {
    let path = cdylib(GOOD).canonicalize().unwrap();
    let plugin = load(&path).unwrap();
    assert_eq!(plugin.source(), &Source::File(path));
    assert_eq!(plugin.metadata().name, "good");
    let mut options = Options::new();
    options.push("why", "because");
    let strict = plugin.new_policy(Some("strict"), &options, Some(PolicyHandle::new(Base))).unwrap();
    // The base's method calls the plugin's override.
    assert_eq!(strict.get_event_loop().unwrap_err().message(), "because");
    let named = plugin.new_watcher(None, &Options::new(), None).unwrap();
    assert_eq!(named.name(), "the fixture's watcher");
}

#[test]
fn an_offer_that_is_not_there_is_refused_with_a_list() {
    let plugin = load(&cdylib(GOOD)).unwrap();
    let refusal = |name, options: &Options| {
        let error = plugin.new_policy(name, options, None).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("{}: ", plugin.source())) && message.lines().count() <= 3,
            "{message}"
        );
        (error.reason, message)
    };
    let none = Options::new();
    let (reason, message) = refusal(None, &none);
    assert!(
        matches!(reason, OfferErrorKind::Several { .. }) && message.contains("plain, strict"),
        "{message}"
    );
    let (reason, message) = refusal(Some("other"), &none);
    assert!(
        matches!(reason, OfferErrorKind::Unknown { .. }) && message.contains("plain, strict"),
        "{message}"
    );
    let mut options = Options::new();
    options.push("wy", "");
    let (reason, message) = refusal(Some("strict"), &options);
    assert!(
        matches!(reason, OfferErrorKind::UnknownOption { .. }) && message.ends_with("it takes why"),
        "{message}"
    );
}

#[test]
fn the_same_file_is_the_same_plugin() {
    let (_folder, folder) = folder();
    let path = copy(GOOD, &folder);
    let first = load(&path).unwrap();
    assert!(ptr::eq(first, load(&path).unwrap()));
    let link = folder.join("libsymlink.so");
    symlink(&path, &link).unwrap();
    assert!(ptr::eq(first, load(&link).unwrap()));
    let hard_link = folder.join("libhard.so");
    fs::hard_link(&path, &hard_link).unwrap();
    assert!(ptr::eq(first, load(&hard_link).unwrap()));
    assert!(!ptr::eq(first, load(&cdylib(GOOD)).unwrap()), "a copy is another plugin");
}

#[test]
fn many_threads_load_one_plugin() {
    let (_folder, folder) = folder();
    let path = copy(GOOD, &folder);
    let plugins: Vec<&Plugin> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| load(&path).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(plugins.iter().all(|plugin| ptr::eq(*plugin, plugins[0])));
}

#[test]
fn a_replaced_file_is_refused_instead_of_giving_the_previous_one() {
    let (_folder, folder) = folder();
    let path = copy(GOOD, &folder);
    load(&path).unwrap();
    let new = folder.join("new");
    fs::copy(cdylib("loophost-fixture-panic-in-new-policy"), &new).unwrap();
    fs::rename(&new, &path).unwrap();
    let (error, message) = refused(&path);
    assert!(matches!(error, LoadError::Replaced { .. }), "{message}");
}

#[test]
fn the_mapped_file_must_be_the_one_that_was_checked() {
    let (_folder, folder) = folder();
    // It is mapped and refused afterwards, so the loader knows this name and the host does not.
    let path = copy("loophost-fixture-other-layout", &folder);
    assert!(matches!(refused(&path).0, LoadError::Layout { .. }));
    let new = folder.join("new");
    fs::copy(cdylib(GOOD), &new).unwrap();
    fs::rename(&new, &path).unwrap();
    let (error, message) = refused(&path);
    assert!(matches!(error, LoadError::Replaced { .. }), "{message}");
}

#[test]
fn a_library_for_another_machine_is_refused_with_both_machines() {
    let (_folder, folder) = folder();
    let path = copy(GOOD, &folder);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    // The field e_machine of an ELF header: 243 is RISC-V.
    file.write_all_at(&243u16.to_le_bytes(), 18).unwrap();
    let (_, message) = refused(&path);
    assert!(
        message.contains(&format!("built for riscv, and this host is {}", std::env::consts::ARCH)),
        "{message}"
    );
    // The field EI_CLASS: 1 is 32 bits.
    file.write_all_at(&[1], 4).unwrap();
    assert!(matches!(flaw_of(&path), Flaw::OtherMachine(_)));
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let (_folder, folder) = folder();
    let (error, message) = refused(&folder.join("libno.so"));
    assert!(matches!(error, LoadError::Open { .. }) && message.contains("no such file"), "{message}");
    let dangling = folder.join("libdangling.so");
    symlink("libno.so", &dangling).unwrap();
    assert!(matches!(refused(&dangling).0, LoadError::Open { .. }));
}

#[test]
fn a_file_that_is_no_library_is_refused_for_what_it_is() {
    let (_folder, folder) = folder();
    assert_eq!(flaw_of(&folder), Flaw::Folder);
    for (content, flaw) in
        [(&b""[..], Flaw::Empty), (b"#!/bin/sh\necho\n", Flaw::Text), (b"\0\0\0\0", Flaw::Unknown)]
    {
        let path = folder.join("libx.so");
        fs::write(&path, content).unwrap();
        assert_eq!(flaw_of(&path), flaw);
    }
    // Tests are position-independent executables.
    let program = copy_of(&std::env::current_exe().unwrap(), &folder);
    assert_eq!(flaw_of(&program), Flaw::Executable);
}

#[test]
fn a_device_or_pipe_is_refused_without_waiting_for_it() {
    let (_folder, folder) = folder();
    let pipe = folder.join("libpipe.so");
    let status = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(status.success());
    assert_eq!(flaw_of(&pipe), Flaw::Special);
    let socket = folder.join("libsocket.so");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(flaw_of(&socket), Flaw::Special);
}

#[test]
fn a_truncated_plugin_is_refused_at_every_length() {
    let (_folder, folder) = folder();
    let path = copy(GOOD, &folder);
    let whole = path.metadata().unwrap().len();
    let file = File::options().write(true).open(&path).unwrap();
    for length in [whole - 1, whole / 4 * 3, whole / 2, 20 << 10, 4096, 64, 63, 4] {
        file.set_len(length).unwrap();
        match flaw_of(&path) {
            Flaw::Truncated { size, needed } => assert!(size == length && needed > length),
            other => panic!("{length} bytes: {other:?}"),
        }
    }
}

#[test]
fn a_library_that_is_no_plugin_is_refused() {
    assert_eq!(
        flaw_of(&cdylib("loophost-fixture-plain-library").canonicalize().unwrap()),
        Flaw::NoDescriptor
    );
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let system = maps.lines().filter_map(|line| line.split_ascii_whitespace().nth(5));
    let libc = { system }.find(|path| path.contains("/libc.so.6") || path.contains("/libc-")).unwrap();
    assert_eq!(flaw_of(Path::new(libc)), Flaw::NoDescriptor);
}

#[test]
fn a_plugin_of_another_abi_is_refused_with_both_versions() {
    let host = format!("{ABI_MAJOR}.{ABI_MINOR}");
    for (package, plugin) in [
        ("loophost-fixture-abi-minor", format!("{ABI_MAJOR}.{}", ABI_MINOR + 1)),
        ("loophost-fixture-abi-major", format!("{}.{ABI_MINOR}", ABI_MAJOR + 1)),
    ] {
        let (error, message) = refused(&cdylib(package).canonicalize().unwrap());
        assert!(matches!(error, LoadError::Abi { .. }), "{message}");
        assert!(message.contains(&format!("plugin ABI {plugin}; this host has {host}")), "{message}");
        assert!(message.contains("rebuild it with the loophost-plugin-api"), "{message}");
    }
}

#[test]
fn nothing_of_a_refused_plugin_runs() {
    // Its constructor aborts the process.
    let (error, message) = refused(&cdylib("loophost-fixture-runs-early").canonicalize().unwrap());
    assert!(matches!(error, LoadError::Abi { .. }), "{message}");
}

#[test]
fn other_builds_of_the_right_abi_are_refused_too() {
    let (_folder, folder) = folder();
    let flags = with_descriptor(GOOD, &folder, &[(32, &Descriptor::PANIC_ABORT.to_le_bytes())]);
    let (error, message) = refused(&flags);
    assert!(matches!(error, LoadError::PanicAbort { .. }), "{message}");
    let flags = with_descriptor(GOOD, &folder, &[(32, &(1u32 << 31 | 1 << 16).to_le_bytes())]);
    let (error, message) = refused(&flags);
    assert!(matches!(error, LoadError::UnknownFlags { flags: 0x8001_0000, .. }), "{message}");
    assert!(message.contains("it needs a newer loophost") && message.contains("0x80010000"), "{message}");
    let abi_stable = with_descriptor(GOOD, &folder, &[(40, b"9.8.7\0")]);
    let (error, message) = refused(&abi_stable);
    assert!(matches!(error, LoadError::AbiStable { .. }), "{message}");
    assert!(message.contains("9.8.7") && message.contains(Descriptor::ABI_STABLE), "{message}");
    // Only the patch is another, and the layouts are the same.
    let mut later = *b"0.11.99\0";
    later[..5].copy_from_slice(&Descriptor::ABI_STABLE.as_bytes()[..5]);
    load(&with_descriptor("loophost-fixture-extended", &folder, &[(40, &later)])).unwrap();
    let no_text = with_descriptor(GOOD, &folder, &[(56, b"\xff")]);
    assert_eq!(flaw_of(&no_text), Flaw::DamagedDescriptor);
}

#[test]
fn a_root_of_another_layout_is_refused_with_both_sides() {
    let (error, message) = refused(&cdylib("loophost-fixture-other-layout").canonicalize().unwrap());
    let LoadError::Layout { differences, .. } = error else { panic!("{message}") };
    assert!((1..=2).contains(&differences.len()), "{message}");
    assert!(message.contains("in the plugin") && message.contains("in the host"), "{message}");
    assert!(message.contains("PluginRoot"), "{message}");
}

#[test]
fn an_undefined_symbol_is_named() {
    let (error, message) = refused(&cdylib("loophost-fixture-undefined-symbol").canonicalize().unwrap());
    let LoadError::UndefinedSymbol { symbol, .. } = error else { panic!("{message}") };
    assert_eq!(symbol, "loophost_fixture_no_such_function");
    assert!(message.contains(&symbol), "{message}");
}

#[test]
fn a_panic_in_init_is_an_error_with_its_place_each_time() {
    let path = cdylib("loophost-fixture-panic-in-init").canonicalize().unwrap();
    for _ in 0..2 {
        let (error, message) = refused(&path);
        assert!(matches!(error, LoadError::Init { .. }), "{message}");
        assert!(message.contains("panicked at") && message.contains("lib.rs:9"), "{message}");
        assert!(message.contains("init does; not work"), "{message}");
    }
}

#[test]
fn a_panic_in_a_constructor_is_an_error_with_its_place() {
    let plugin = load(&cdylib("loophost-fixture-panic-in-new-policy")).unwrap();
    let error = plugin.new_policy(None, &Options::new(), None).unwrap_err();
    let message = error.to_string();
    assert_eq!(error.kind, OfferKind::Policy);
    assert!(matches!(error.reason, OfferErrorKind::Failed { .. }), "{message}");
    assert!(message.contains("panicked at") && message.contains("lib.rs:9"), "{message}");
    assert!(message.contains("impossible cannot be made") && message.lines().count() <= 3, "{message}");
}

#[test]
fn a_file_that_others_can_change_is_not_trusted() {
    let (_folder, folder) = folder();
    let inner = folder.join("plugins");
    fs::create_dir(&inner).unwrap();
    let path = copy(GOOD, &inner);
    for place in [&folder, &inner, &path] {
        let before = place.metadata().unwrap().permissions();
        fs::set_permissions(place, Permissions::from_mode(0o777)).unwrap();
        let (error, message) = refused(&path);
        let LoadError::Distrusted { distrust, .. } = error else { panic!("{message}") };
        assert_eq!((&distrust.place, &distrust.rule), (place, &Rule::WritableByOthers));
        assert!(message.contains(&format!("chmod o-w {}", place.display())), "{message}");
        fs::set_permissions(place, before).unwrap();
    }
    load(&path).unwrap();
}

#[test]
fn a_symbolic_link_is_judged_by_what_it_leads_to() {
    let (_folder, folder) = folder();
    let open = folder.join("open");
    fs::create_dir(&open).unwrap();
    let path = copy(GOOD, &open);
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    let link = folder.join("liblink.so");
    symlink(&path, &link).unwrap();
    match load(&link).unwrap_err() {
        LoadError::Distrusted { distrust, .. } => assert_eq!(distrust.place, open),
        other => panic!("{other}"),
    }
}
