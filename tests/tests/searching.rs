//! Finding plugins by name in real folders.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use loophost::plugin::{Flaw, LoadError, Origin, SearchPath};
use loophost_tests::{cdylib, trust};
use tempfile::TempDir;

fn put(package: &str, folder: &Path, file: &str) {
    fs::copy(cdylib(package), folder.join(file)).unwrap();
}

#[test]
fn the_first_folder_wins_and_the_longer_file_name() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let search = SearchPath::new([first.path().into(), second.path().into()]);
    let find = |name: &str| search.find(name, &[]).unwrap().path;
    put("loophost-fixture-good", second.path(), "libloophost_io_good.so");
    assert_eq!(find("io-good"), second.path().join("libloophost_io_good.so"));
    put("loophost-fixture-good", first.path(), "libio_good.so");
    assert_eq!(find("io-good"), first.path().join("libio_good.so"));
    put("loophost-fixture-good", first.path(), "libloophost_io_good.so");
    assert_eq!(find("io_good"), first.path().join("libloophost_io_good.so"));
    assert_eq!(search.find("io-good", &[]).unwrap().origin, Origin::Flag);
}

#[test]
fn a_folder_that_cannot_be_searched_hides_no_later_one() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let closed = first.path().join("closed");
    // A permission would not stop root.
    std::os::unix::fs::symlink(&closed, &closed).unwrap();
    let search = SearchPath::new([closed.clone(), second.path().into()]);
    let find = || search.find("io-good", &[]).unwrap().path;
    assert_eq!(find(), closed.join("libloophost_io_good.so"), "it may be in there");
    fs::write(second.path().join("libio_good.so"), "").unwrap();
    assert_eq!(find(), second.path().join("libio_good.so"));
}

#[test]
fn a_name_that_is_not_there_is_refused_with_folders_and_suggestions() {
    let folder = TempDir::new().unwrap();
    put("loophost-fixture-good", folder.path(), "libloophost_good.so");
    let search = SearchPath::new([folder.path().into()]);
    let not_found = search.find("goood", &["default"]).unwrap_err();
    assert_eq!(not_found.similar, ["good"]);
    let message = not_found.to_string();
    assert!(message.lines().count() <= 3, "{message}");
    assert!(message.contains("did you mean good?"), "{message}");
    assert!(message.contains(&format!("{} (--plugin-path)", folder.path().display())), "{message}");
    assert!(search.find("defaul", &["default"]).unwrap_err().to_string().contains("did you mean default?"));
    let file = search.find("libloophost_good.so", &[]).unwrap_err().to_string();
    assert!(file.contains("./libloophost_good.so"), "{file}");
}

#[test]
fn the_list_has_plugins_and_what_could_be_one() {
    let folder = TempDir::new().unwrap();
    put("loophost-fixture-good", folder.path(), "libgood.so");
    put("loophost-fixture-abi-minor", folder.path(), "libloophost_other_abi.so");
    put("loophost-fixture-plain-library", folder.path(), "libplain.so");
    fs::write(folder.path().join("libempty.so"), "").unwrap();
    fs::write(folder.path().join("readme.txt"), "not a library").unwrap();
    let all = SearchPath::new([folder.path().into()]).list(&trust());
    let ours: Vec<_> = all.iter().filter(|listed| listed.path.starts_with(folder.path())).collect();
    let names: Vec<_> = ours.iter().map(|listed| &*listed.name).collect();
    assert_eq!(names, ["empty", "good", "other-abi"]);
    assert!(matches!(ours[0].inspected, Err(LoadError::Unusable { flaw: Flaw::Empty, .. })));
    assert_eq!(ours[1].inspected.as_ref().unwrap().metadata.offers.len(), 3);
    assert!(matches!(ours[2].inspected, Err(LoadError::Abi { .. })));
}
