//! Text and lists of text, both ways.

use std::{
    borrow::Cow,
    ffi::{CStr, CString, c_char},
    ptr,
};

use loophost_plugin_api::{Error, KeyValue};

use super::abi::CKeyValue;

/// Text for C, where a zero ends it.
pub(super) fn to_c(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// Text of a plugin that is looked at as a name: it must be there, and be UTF-8.
///
/// # Safety
/// `text` is null or ends with a zero, and stays for `'a`.
pub(super) unsafe fn name<'a>(text: *const c_char, what: &str) -> Result<&'a str, Error> {
    if text.is_null() {
        return Err(Error::invalid_argument(format!("{what} is missing")));
    }
    // SAFETY: the caller's guarantee, and it is not null.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map_err(|_| Error::invalid_argument(format!("{what} {:?} is not UTF-8", text.to_string_lossy())))
}

/// Text of a plugin that is shown: what is not UTF-8 is replaced, null is empty.
///
/// # Safety
/// As [`name`].
pub(super) unsafe fn shown<'a>(text: *const c_char) -> Cow<'a, str> {
    if text.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: the caller's guarantee, and it is not null.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// As much of a text as fits into `buffer` with a zero at its end, cut between characters.
pub(super) fn cut(text: &str, buffer: &mut [u8]) {
    let Some(room) = buffer.len().checked_sub(1) else { return };
    let text = text.split('\0').next().unwrap_or_default();
    let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    buffer[..end].copy_from_slice(&text.as_bytes()[..end]);
    buffer[end] = 0;
}

/// As [`cut`], into a buffer of a plugin; how many bytes the text has without the zero, as snprintf(3).
///
/// # Safety
/// `buffer` is null or has `room` bytes that may be written.
pub(super) unsafe fn write(text: &str, buffer: *mut c_char, room: usize) -> usize {
    if !buffer.is_null() && room > 0 {
        // SAFETY: the caller's guarantee; whatever lies there is made bytes of first.
        let buffer = unsafe {
            ptr::write_bytes(buffer, 0, room);
            std::slice::from_raw_parts_mut(buffer.cast::<u8>(), room)
        };
        cut(text, buffer);
    }
    text.split('\0').next().map_or(0, str::len)
}

/// No name is longer: what says so is cut.
const LONGEST_NAME: usize = 4096;

/// The name that a plugin writes into a buffer, of which it says how long it is.
pub(super) fn named(write: impl Fn(*mut c_char, usize) -> usize) -> String {
    let mut buffer = vec![0; 256];
    let len = write(buffer.as_mut_ptr().cast(), buffer.len());
    if len >= buffer.len() {
        buffer = vec![0; len.min(LONGEST_NAME) + 1];
        write(buffer.as_mut_ptr().cast(), buffer.len());
    }
    match &*read(&buffer) {
        "" => "?".into(),
        name => name.into(),
    }
}

/// What a buffer holds before its first zero.
pub(super) fn read(buffer: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(buffer.split(|byte| *byte == 0).next().unwrap_or_default())
}

/// Keys and values for C, and the texts that they point to.
pub(super) struct Pairs {
    pairs: Vec<CKeyValue>,
    #[expect(dead_code, reason = "held for the pointers in `pairs`")]
    texts: Vec<CString>,
}

impl Pairs {
    pub(super) fn new<'a>(pairs: impl IntoIterator<Item = &'a KeyValue>) -> Self {
        let texts: Vec<_> =
            pairs.into_iter().flat_map(|pair| [to_c(pair.key()), to_c(pair.value())]).collect();
        let pairs = texts
            .chunks_exact(2)
            .map(|pair| CKeyValue { key: pair[0].as_ptr(), value: pair[1].as_ptr() })
            .collect();
        Self { pairs, texts }
    }

    pub(super) fn as_ptr(&self) -> *const CKeyValue {
        if self.pairs.is_empty() { ptr::null() } else { self.pairs.as_ptr() }
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }
}

/// Keys and values of a plugin; those without a key are left out.
///
/// # Safety
/// `pairs` is null or has `len` entries, whose texts are null or end with a zero.
pub(super) unsafe fn pairs(pairs: *const CKeyValue, len: usize) -> Vec<KeyValue> {
    if pairs.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's guarantee, and it is not null.
    let pairs = unsafe { std::slice::from_raw_parts(pairs, len) };
    pairs
        .iter()
        .filter(|pair| !pair.key.is_null())
        // SAFETY: as above.
        .map(|pair| unsafe { KeyValue::new(&shown(pair.key), shown(pair.value)) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        let mut buffer = [0xff; 6];
        cut("grüße", &mut buffer);
        assert_eq!(read(&buffer), "grü");
        assert_eq!(buffer[4], 0);
        cut("grüß", &mut buffer);
        assert_eq!(read(&buffer), "grü", "the last character does not fit");
        cut("", &mut buffer[..0]);
    }

    #[test]
    fn a_name_is_asked_for_with_the_room_that_it_needs() {
        // SAFETY: `named` gives a buffer that has that room.
        let name = |text: &str| named(|buffer, room| unsafe { write(text, buffer, room) });
        for len in [1, 255, 256, 257, LONGEST_NAME] {
            assert_eq!(name(&"x".repeat(len)).len(), len);
        }
        assert_eq!(name(&"x".repeat(LONGEST_NAME + 1)).len(), LONGEST_NAME);
        assert_eq!((&*name(""), &*name("a\0b")), ("?", "a"));
        // SAFETY: there is no buffer.
        assert_eq!(unsafe { write("grüße", ptr::null_mut(), 0) }, 7);
        assert_eq!(named(|_, _| usize::MAX), "?", "it lies");
    }

    #[test]
    fn text_that_is_damaged_is_shown_as_far_as_it_goes() {
        assert_eq!(read(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(to_c("a\0b").to_str().unwrap(), "a\u{fffd}b");
        // SAFETY: both are null or end with a zero.
        let (missing, damaged) =
            unsafe { (name(ptr::null(), "the name"), name(c"\xff".as_ptr(), "the name")) };
        assert!(missing.unwrap_err().message().contains("is missing"));
        assert!(damaged.unwrap_err().message().contains("not UTF-8"));
    }
}
