//! The keys of a configuration file.

/// All of them, as they are written.
pub(super) const KEYS: [&str; 10] = [
    "policy",
    "watcher",
    "policy-options",
    "watcher-options",
    "plugin-path",
    "trust-owner",
    "log",
    "silence",
    "compat",
    "fallback",
];

/// What to tell somebody who has written `unknown`.
pub(super) fn unknown(unknown: &str) -> String {
    let likeness = |key: &&&str| strsim::damerau_levenshtein(unknown, key);
    let nearest = KEYS.iter().min_by_key(likeness).filter(|key| likeness(key) <= key.len().div_ceil(3));
    match nearest {
        Some(nearest) => format!("unknown key `{unknown}`; did you mean `{nearest}`?"),
        None => format!("unknown key `{unknown}`; the keys are {}", KEYS.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_suggested() {
        for (typed, meant) in [
            ("polcy", "policy"),
            ("plugin_path", "plugin-path"),
            ("watcher-opts", "watcher-options"),
            ("trust-owners", "trust-owner"),
            ("falback", "fallback"),
        ] {
            assert!(unknown(typed).ends_with(&format!("did you mean `{meant}`?")), "{}", unknown(typed));
        }
        assert!(unknown("colour").contains("the keys are policy, watcher"));
    }
}
