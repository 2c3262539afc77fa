//! What may change from the record of a minor to that of a later one.

/// In the first line of a type that may get more members at its end.
pub(crate) const GROWS: &str = "grows";

/// What is missing in a later record, or is not as it was.
pub(crate) fn broken<'a>(before: &'a str, now: &str) -> Vec<&'a str> {
    let now = blocks(now);
    let is_there = |old: &str| {
        now.iter().any(|new| {
            let may_grow = old.lines().next().is_some_and(|head| head.contains(GROWS));
            if may_grow { new.starts_with(old) } else { *new == old }
        })
    };
    blocks(before).into_iter().filter(|old| !is_there(old)).collect()
}

/// Each type: a line, and the indented ones after it.
fn blocks(record: &str) -> Vec<&str> {
    let mut starts: Vec<_> = record.match_indices('\n').map(|(end, _)| end + 1).collect();
    starts.insert(0, 0);
    starts.retain(|start| record[*start..].starts_with(|first| first != ' '));
    let ends = starts.iter().skip(1).copied().chain([record.len()]);
    starts.iter().zip(ends).map(|(start, end)| &record[*start..end]).collect()
}

#[test]
fn members_and_types_may_be_added_and_nothing_else() {
    let before = "number = 1\nstruct Fixed\n    a: u32\nstruct Table, grows\n    b: u32\n";
    let added = "number = 1\nother = 2\nstruct New\nstruct Fixed\n    a: u32\nstruct Table, grows\n    b: u32\n    c: u64\n";
    assert_eq!(broken(before, before), [""; 0]);
    assert_eq!(broken(before, added), [""; 0]);
    for (from, to) in [
        ("number = 1", "number = 2"),
        ("    a: u32", "    a: u64"),
        ("    a: u32", "    a: u32\n    c: u32"),
        ("    b: u32", "    c: u32\n    b: u32"),
        ("    b: u32\n", ""),
        ("Fixed", "Renamed"),
    ] {
        assert_eq!(broken(before, &before.replace(from, to)).len(), 1, "{from} is {to}");
    }
}
