//! Text from elsewhere, for a terminal.

/// The same text without what a terminal obeys: a name in a file system, or what a plugin says of itself, may hold
/// anything. Lines stay lines.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The same in one line.
pub(crate) fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_terminal_obeys_is_replaced() {
        assert_eq!(printable("é\u{1b}[2J\u{9b}2J\r\nb"), "é\u{fffd}[2J\u{fffd}2J\u{fffd}\nb");
        assert_eq!(one_line("a\nb"), "a\u{fffd}b");
    }
}
