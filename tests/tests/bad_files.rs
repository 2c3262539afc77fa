//! Every bad file: refused by the library and by the binary, in three lines at most, and nothing is started.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    ptr,
};

use loophost::{
    ABI_MAJOR, ABI_MINOR, Descriptor,
    plugin::{self, LoadError},
};
use loophost_tests::{
    loophost,
    plugin_file::{abi, copy, folder, offer, with_descriptor},
    rlib, run, trust, workspace,
};

const GOOD: &str = "loophost-fixture-good";

/// Where a descriptor has its versions.
const ABI_MAJOR_AT: usize = 20;
const ABI_MINOR_AT: usize = 24;
const NEEDS_MINOR_AT: usize = 28;

/// A file that is refused: with what each message has in it.
#[track_caller]
fn refused(path: &Path, says: &[&str]) -> LoadError {
    let check = |message: &str| {
        assert!(message.starts_with(&format!("{}: ", path.display())), "{message}");
        assert!((1..=3).contains(&message.lines().count()), "{message}");
        for part in says {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    };
    let error = plugin::load(path, &trust()).expect_err("it must be refused");
    check(&error.to_string());

    let (_folder, folder) = folder();
    let witness = folder.join("was-started");
    for kind in ["--policy", "--watcher"] {
        let mut args = vec!["run".into(), kind.into(), path.as_os_str().to_owned()];
        args.extend(["--", "touch"].map(Into::into));
        args.push(witness.clone().into());
        let ended = run(loophost(args));
        assert_eq!((ended.code(), &*ended.stdout), (125, ""), "{ended:?}");
        check(ended.stderr.strip_prefix("loophost: ").unwrap());
    }
    assert!(!witness.exists());

    // Whatever it is, it can be looked at, alone and beside others.
    let ended = run(loophost(["plugin".as_ref(), "inspect".as_ref(), path.as_os_str()]));
    assert!([0, 125].contains(&ended.code()), "{ended:?}");
    let shelf = folder.join("shelf");
    fs::create_dir(&shelf).unwrap();
    fs::copy(path, shelf.join("libbad.so")).unwrap();
    copy(GOOD, &shelf);
    let ended =
        run(loophost(["plugin".as_ref(), "list".as_ref(), "--plugin-path".as_ref(), shelf.as_os_str()]));
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.stdout.contains("fixture-good#plain"), "{ended:?}");
    error
}

/// The good plugin with other bytes in some places.
fn patched(folder: &Path, patches: &[(usize, &[u8])]) -> PathBuf {
    let path = copy(GOOD, folder);
    let file = File::options().write(true).open(&path).unwrap();
    for (at, bytes) in patches {
        file.write_all_at(bytes, *at as u64).unwrap();
    }
    path
}

/// The good plugin with another version in its descriptor.
fn with_versions(folder: &Path, versions: &[(usize, u32)]) -> PathBuf {
    let bytes: Vec<_> = versions.iter().map(|(at, version)| (*at, version.to_le_bytes())).collect();
    let patches: Vec<_> = bytes.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
    with_descriptor(GOOD, folder, &patches)
}

/// The good plugin with `panic = "abort"`, by the compiler itself: for a profile cargo would build all that it needs again.
fn good_that_aborts(folder: &Path) -> PathBuf {
    let api = rlib("loophost-plugin-api");
    let path = folder.join("libaborts.so");
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "--crate-type=cdylib", "-Cpanic=abort"]);
    rustc.arg("--extern").arg(format!("loophost_plugin_api={}", api.display()));
    rustc.arg("-L").arg(format!("dependency={}", api.with_file_name("deps").display()));
    rustc.arg("-o").args([&path, &workspace().join("tests/fixtures/good/src/lib.rs")]);
    let output = rustc.env("CARGO_PKG_VERSION", "0.1.0").output().expect("the compiler can be run");
    assert!(output.status.success(), "{rustc:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    path
}

#[test]
fn an_empty_file() {
    let (_folder, folder) = folder();
    let path = folder.join("libempty.so");
    File::create(&path).unwrap();
    refused(&path, &["it is empty", "build it again"]);
}

#[test]
fn a_library_of_32_bits() {
    let (_folder, folder) = folder();
    // ELFCLASS32, EM_386, and the sizes of the tables' entries there.
    let i386: [(usize, &[u8]); 3] = [(4, &[1]), (18, &3u16.to_le_bytes()), (54, &32u16.to_le_bytes())];
    refused(&patched(&folder, &i386), &["is not 64-bit", env::consts::ARCH]);
}

#[test]
fn a_library_for_another_machine() {
    let (_folder, folder) = folder();
    let (number, name) = if cfg!(target_arch = "x86_64") { (183u16, "aarch64") } else { (62, "x86_64") };
    let path = patched(&folder, &[(18, &number.to_le_bytes())]);
    refused(&path, &[&format!("built for {name}"), &format!("this host is {}", env::consts::ARCH)]);
}

#[test]
fn a_truncated_plugin() {
    for length in [|_| 20 << 10, |whole: u64| whole / 4 * 3] {
        let (_folder, folder) = folder();
        let path = copy(GOOD, &folder);
        let file = File::options().write(true).open(&path).unwrap();
        let length = length(path.metadata().unwrap().len());
        file.set_len(length).unwrap();
        refused(&path, &["it is truncated", &format!("it has {length} bytes"), "copy or build it again"]);
    }
}

#[test]
fn a_library_of_the_system() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libraries = maps.lines().filter_map(|line| line.split_ascii_whitespace().nth(5));
    let libc = { libraries }.find(|path| path.contains("/libc.so.6") || path.contains("/libc-")).unwrap();
    refused(Path::new(libc), &["not a plugin", "export_plugin!"]);
}

#[test]
fn a_plugin_of_another_application() {
    let (_folder, folder) = folder();
    let path = copy("loophost-fixture-other-application", &folder);
    refused(&path, &["not a plugin", Descriptor::SYMBOL]);
}

#[test]
fn a_newer_minor_and_another_major() {
    let host = format!("this host has {}", abi(0));
    for (major, minor) in [(ABI_MAJOR, ABI_MINOR + 1), (ABI_MAJOR + 2, 0), (ABI_MAJOR - 1, ABI_MINOR)] {
        let (_folder, folder) = folder();
        let versions = [(ABI_MAJOR_AT, major), (ABI_MINOR_AT, minor), (NEEDS_MINOR_AT, minor)];
        let path = with_versions(&folder, &versions);
        let error = refused(&path, &[&format!("plugin ABI {major}.{minor};"), &host, "rebuild it"]);
        assert!(matches!(error, LoadError::Abi { .. }));
    }
}

#[test]
fn a_plugin_that_needs_a_newer_minor_than_it_was_built_for() {
    let (_folder, folder) = folder();
    let path = with_versions(&folder, &[(NEEDS_MINOR_AT, ABI_MINOR + 8)]);
    refused(&path, &[&format!("needs {} or later", abi(8)), &format!("this host has {}", abi(0))]);
}

#[test]
fn a_plugin_whose_panics_would_abort() {
    let (_folder, folder) = folder();
    let path = good_that_aborts(&folder);
    let error = refused(&path, &["panic = \"abort\"", "rebuild it with panic = \"unwind\""]);
    assert!(matches!(error, LoadError::PanicAbort { .. }));
}

#[test]
fn a_plugin_that_lacks_a_symbol() {
    let (_folder, folder) = folder();
    let path = copy("loophost-fixture-undefined-symbol", &folder);
    refused(&path, &["loophost_fixture_no_such_function", "link the library"]);
}

#[test]
fn a_plugin_whose_init_panics() {
    let (_folder, folder) = folder();
    refused(&copy("loophost-fixture-panic-in-init", &folder), &["failed to start", "init does; not work"]);
}

#[test]
fn a_plugin_of_another_layout() {
    let (_folder, folder) = folder();
    refused(&copy("loophost-fixture-other-layout", &folder), &["in the plugin", "in the host", "rebuild it"]);
}

/// The fixture's constructor aborts the process, so whoever survives this has not run it.
#[test]
fn a_plugin_whose_constructor_would_end_the_process() {
    let (_folder, folder) = folder();
    let path = copy("loophost-fixture-runs-early", &folder);
    let error = refused(&path, &["plugin ABI"]);
    assert!(matches!(error, LoadError::Abi { .. }));
}

/// Tables that the header does not count could be larger than memory. The file is sparse.
#[test]
fn a_plugin_whose_tables_are_endless() {
    const COUNT: u64 = 1 << 32;
    for (count_at, count) in [(60, 0u16), (56, 0xffff)] {
        let (_folder, folder) = folder();
        let path = copy(GOOD, &folder);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        file.write_all_at(&count.to_le_bytes(), count_at).unwrap();
        let mut sections = [0; 8];
        file.read_exact_at(&mut sections, 40).unwrap();
        let first = u64::from_le_bytes(sections);
        // sh_size and sh_info of the first section say how many there are.
        file.write_all_at(&(COUNT - 1).to_le_bytes(), first + 32).unwrap();
        file.write_all_at(&u32::MAX.to_le_bytes(), first + 44).unwrap();
        file.set_len(COUNT * 64 + first).unwrap();
        let error = plugin::inspect(&path).unwrap_err().to_string();
        assert!(error.contains("no sensible size"), "{error}");
    }
}

#[test]
fn the_same_file_for_both_and_a_copy_for_each() {
    let (_folder, place) = folder();
    let (_other, other) = folder();
    let (path, copied) = (copy(GOOD, &place), copy(GOOD, &other));
    assert!(ptr::eq(plugin::load(&path, &trust()).unwrap(), plugin::load(&path, &trust()).unwrap()));
    assert!(!ptr::eq(plugin::load(&path, &trust()).unwrap(), plugin::load(&copied, &trust()).unwrap()));
    for second in [&path, &copied] {
        let policy = offer(&path, "plain");
        let watcher = offer(second, "named");
        let ended =
            run(loophost(["run", "--policy", &policy, "--watcher", &watcher, "--", "sh", "-c", "exit 7"]));
        assert_eq!((ended.code(), &*ended.stderr), (7, ""), "{ended:?}");
    }
}

#[test]
fn what_is_not_offered_is_answered_with_what_is() {
    let (_folder, folder) = folder();
    let path = copy(GOOD, &folder);
    let strict = offer(&path, "strict");
    for (arguments, says) in [
        (vec!["--policy".to_owned(), offer(&path, "wrong")], "plain, strict"),
        (vec!["--watcher".to_owned(), offer(&path, "wrong")], "named"),
        (vec!["--policy".to_owned(), path.display().to_string()], "plain, strict"),
        (vec!["--policy".to_owned(), strict, "--policy-opt".to_owned(), "wy=x".to_owned()], "it takes why"),
    ] {
        let rest = ["--", "true"].map(str::to_owned);
        let ended = run(loophost(["run".to_owned()].into_iter().chain(arguments).chain(rest)));
        assert_eq!(ended.code(), 125, "{ended:?}");
        let message = ended.stderr.strip_prefix("loophost: ").unwrap();
        assert!(message.starts_with(&format!("{}: ", path.display())) && message.contains(says), "{message}");
        assert!(message.lines().count() <= 3, "{message}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_where_it_was_looked_for() {
    let (_folder, folder) = folder();
    let path = folder.display().to_string();
    for kind in ["--policy", "--watcher"] {
        let ended = run(loophost(["run", "--plugin-path", &path, kind, "nobody", "--", "true"]));
        assert_eq!(ended.code(), 125, "{ended:?}");
        assert!(ended.stderr.contains(&format!("libnobody.so in {path} (--plugin-path)")), "{ended:?}");
        assert!(ended.stderr.lines().count() <= 3, "{ended:?}");
    }
}
