//! What is read from a plugin file without running any of it.

use std::{mem::offset_of, str};

use crate::{ABI_MAJOR, ABI_MINOR};

/// The static `loophost_plugin_1` of a plugin file: no pointers, so that it can be read from the file as it is.
///
/// A host that knows an older or newer one reads the fields up to `flags` of every descriptor, which never move.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// [`MAGIC`](Self::MAGIC).
    pub magic: [u8; 16],
    /// Bytes of the whole struct.
    pub size: u32,
    /// The ABI it was built for.
    pub abi_major: u32,
    /// The minor of the ABI it was built for.
    pub abi_minor: u32,
    /// The lowest minor of a host that it works with.
    pub needs_minor: u32,
    /// [`PANIC_ABORT`](Self::PANIC_ABORT), [`C`](Self::C) and bits to come: those in [`MUST_KNOW`](Self::MUST_KNOW) keep a
    /// host away that does not know them, the others only inform.
    pub flags: u32,
    /// Bytes of `metadata` in use.
    pub metadata_len: u32,
    /// The version of `abi_stable`, as text that ends with zeros; empty in C.
    pub abi_stable: [u8; 16],
    /// `key=value` lines, UTF-8: see [`Metadata`]. They are the rest of the descriptor: in a file it may be longer or
    /// shorter, and [`metadata_in`](Self::metadata_in) reads all of it. What would be another field is a key here.
    pub metadata: [u8; Self::METADATA_ROOM],
}

impl Descriptor {
    /// The name of the symbol.
    pub const SYMBOL: &'static str = "loophost_plugin_1";
    /// The name of the symbol that leads to the code.
    pub const ROOT_SYMBOL: &'static str = "loophost_root_1";
    /// The same for a plugin in C.
    pub const C_ROOT_SYMBOL: &'static str = "loophost_c_plugin_1";
    /// How it begins.
    pub const MAGIC: [u8; 16] = *b"loophost plugin\0";
    /// Flag: built with `panic = "abort"`, so a panic would end the host.
    pub const PANIC_ABORT: u32 = 1;
    /// Flag: its code is not in Rust, and behind [`C_ROOT_SYMBOL`](Self::C_ROOT_SYMBOL): see `loophost.h`.
    pub const C: u32 = 1 << 1;
    /// The flags that a host refuses if it does not know them, for it could not serve the plugin: bits 16 to 31, none of
    /// which has a meaning yet. Of bits 0 to 15 it ignores those that it does not know.
    pub const MUST_KNOW: u32 = 0xffff_0000;
    /// Bytes that metadata may take in a plugin that is built with this crate.
    pub const METADATA_ROOM: usize = 4096;
    /// Bytes that a host reads of a descriptor at the most; a longer one is damaged.
    pub const LONGEST: usize = 1 << 20;
    /// Where metadata begins.
    const METADATA_AT: usize = offset_of!(Self, metadata);
    /// The version of `abi_stable` that this crate is built with. Another one of its series, 0.11, has the same header, and
    /// layouts that can be compared.
    pub const ABI_STABLE: &'static str = "0.11.3";

    /// The descriptor of a plugin built with this crate.
    ///
    /// # Panics
    /// At compile time, if the metadata is longer than [`METADATA_ROOM`](Self::METADATA_ROOM).
    pub const fn new(metadata: &str) -> Self {
        Self {
            magic: Self::MAGIC,
            size: size_of::<Self>() as u32,
            abi_major: ABI_MAJOR,
            abi_minor: ABI_MINOR,
            needs_minor: ABI_MINOR,
            flags: 0,
            metadata_len: metadata.len() as u32,
            abi_stable: padded(Self::ABI_STABLE),
            metadata: padded(metadata),
        }
    }

    /// The same, and whether the plugin is built with `panic = "abort"`: its own crate, which may be built in another way
    /// than this one.
    #[must_use]
    pub const fn aborting(self, aborts: bool) -> Self {
        Self { flags: if aborts { Self::PANIC_ABORT } else { 0 }, ..self }
    }

    /// The same for a plugin that works with hosts from `minor` on: it uses nothing that came later, or does without.
    ///
    /// # Panics
    /// At compile time, if it is a later minor than that of this crate.
    #[expect(clippy::absurd_extreme_comparisons, reason = "as long as the minor is 0")]
    pub const fn needing(self, minor: u32) -> Self {
        assert!(
            minor <= ABI_MINOR,
            "a plugin cannot need a later minor than that of its loophost-plugin-api"
        );
        Self { needs_minor: minor, ..self }
    }

    /// Reads a descriptor from the bytes of a file; `None` if they do not begin with one.
    ///
    /// What an older and shorter descriptor lacks is zero; of a longer one `metadata` gets the beginning.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if bytes.get(..16)? != Self::MAGIC {
            return None;
        }
        let size = word(16)?;
        let bytes = bytes.get(..size as usize)?;
        let mut abi_stable = [0; 16];
        abi_stable.copy_from_slice(bytes.get(40..Self::METADATA_AT)?);
        let mut metadata = [0; Self::METADATA_ROOM];
        let text = bytes.get(Self::METADATA_AT..)?;
        let room = text.len().min(metadata.len());
        metadata[..room].copy_from_slice(&text[..room]);
        Some(Self {
            magic: Self::MAGIC,
            size,
            abi_major: word(20)?,
            abi_minor: word(24)?,
            needs_minor: word(28)?,
            flags: word(32)?,
            metadata_len: word(36)?,
            abi_stable,
            metadata,
        })
    }

    /// Whether it is a plugin in C.
    pub const fn is_c(&self) -> bool {
        self.flags & Self::C != 0
    }

    /// The flags that keep this host away: see [`MUST_KNOW`](Self::MUST_KNOW).
    pub const fn unknown_flags(&self) -> u32 {
        self.flags & Self::MUST_KNOW
    }

    /// The version of `abi_stable` that the plugin was built with.
    pub fn abi_stable(&self) -> &str {
        let end = self.abi_stable.iter().position(|byte| *byte == 0).unwrap_or(self.abi_stable.len());
        str::from_utf8(&self.abi_stable[..end]).unwrap_or("?")
    }

    /// Whether that version is of the series of [`ABI_STABLE`](Self::ABI_STABLE): what comes after the second dot does not
    /// count.
    pub fn is_of_our_abi_stable(&self) -> bool {
        fn series(version: &str) -> impl Iterator<Item = &str> {
            version.split('.').take(2)
        }
        series(self.abi_stable()).eq(series(Self::ABI_STABLE))
    }

    /// Name, version and offers of a descriptor that is linked in; `None` if the text is not UTF-8 or its length is wrong.
    pub fn metadata(&self) -> Option<Metadata> {
        self.parse(&self.metadata)
    }

    /// The same of one that [`read`](Self::read) has found in `bytes`, however long it is.
    pub fn metadata_in(&self, bytes: &[u8]) -> Option<Metadata> {
        self.parse(bytes.get(Self::METADATA_AT..self.size as usize)?)
    }

    fn parse(&self, room: &[u8]) -> Option<Metadata> {
        let text = room.get(..self.metadata_len as usize)?;
        Some(Metadata::parse(str::from_utf8(text).ok()?))
    }
}

const fn padded<const N: usize>(text: &str) -> [u8; N] {
    assert!(text.len() <= N, "too long for the plugin's descriptor");
    let mut bytes = [0; N];
    let mut i = 0;
    while i < text.len() {
        bytes[i] = text.as_bytes()[i];
        i += 1;
    }
    bytes
}

/// What a plugin says of itself.
///
/// The text has a `key=value` pair in each line: `name`, `version`, `summary`, and for each thing on offer
/// `offer=KIND:NAME`, followed by its `offer.summary` and an `offer.option.KEY` for each option. Unknown keys are
/// ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The plugin's name, as one would type it.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// What it is, in a line.
    pub summary: String,
    /// What it can make.
    pub offers: Vec<Offer>,
}

/// One thing that a plugin can make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// A policy or a watcher.
    pub kind: OfferKind,
    /// Its name, for `--policy FILE#NAME`.
    pub name: String,
    /// What it is, in a line.
    pub summary: String,
    /// The options that it takes.
    pub options: Vec<OptionHelp>,
}

/// One option of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionHelp {
    /// Its key, for `--policy-opt KEY=VALUE`.
    pub key: String,
    /// What it does, in a line.
    pub help: String,
}

/// What kind of thing is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferKind {
    /// An event loop policy.
    Policy,
    /// A child watcher.
    Watcher,
}

impl OfferKind {
    /// The word for it in metadata and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Watcher => "watcher",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Policy, Self::Watcher].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Metadata {
    /// Reads the text; what it does not understand it leaves out. The values are to be shown, and the file may be
    /// anybody's: control characters, which a terminal would obey, are replaced.
    pub fn parse(text: &str) -> Self {
        let mut metadata = Self::default();
        // An offer of a kind that this host does not know is left out, together with its own lines.
        let mut in_known_offer = false;
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let value = value.replace(char::is_control, "\u{fffd}");
            match key {
                "name" => metadata.name = value,
                "version" => metadata.version = value,
                "summary" => metadata.summary = value,
                "offer" => {
                    let offer = Offer::parse(&value);
                    in_known_offer = offer.is_some();
                    metadata.offers.extend(offer);
                }
                _ if !in_known_offer => {}
                _ => {
                    let Some(offer) = metadata.offers.last_mut() else { continue };
                    if key == "offer.summary" {
                        offer.summary = value;
                    } else if let Some(option) = key.strip_prefix("offer.option.") {
                        offer.options.push(OptionHelp { key: option.to_owned(), help: value });
                    }
                }
            }
        }
        metadata
    }
}

impl Offer {
    fn parse(value: &str) -> Option<Self> {
        let (kind, name) = value.split_once(':')?;
        Some(Self {
            kind: OfferKind::parse(kind)?,
            name: name.to_owned(),
            summary: String::new(),
            options: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SAMPLE: Descriptor = Descriptor::new(
        "name=sample\nversion=0.3.0\nsummary=a = b\nnews=ignored\n\
         offer=policy:one\noffer.summary=first\noffer.option.max=how many\n\
         offer=gadget:two\noffer.summary=unknown kind\noffer.option.x=y\n\
         offer=watcher:three",
    );

    fn bytes(descriptor: &Descriptor) -> Vec<u8> {
        let start = std::ptr::from_ref(descriptor).cast::<u8>();
        // SAFETY: a repr(C) struct of integers without padding, read as bytes within its own size.
        unsafe { std::slice::from_raw_parts(start, size_of::<Descriptor>()) }.to_vec()
    }

    #[test]
    fn the_fields_lie_where_read_looks() {
        assert_eq!(std::mem::offset_of!(Descriptor, abi_stable), 40);
        assert_eq!(std::mem::offset_of!(Descriptor, metadata), 56);
        let read = Descriptor::read(&bytes(&SAMPLE)).unwrap();
        assert_eq!(bytes(&read), bytes(&SAMPLE));
        assert_eq!(read.abi_stable(), Descriptor::ABI_STABLE);
    }

    #[test]
    fn a_plugin_needs_the_minor_that_it_was_built_for_unless_it_says_otherwise() {
        assert_eq!((SAMPLE.abi_minor, SAMPLE.needs_minor), (ABI_MINOR, ABI_MINOR));
        let lower = SAMPLE.needing(0);
        assert_eq!((lower.abi_minor, lower.needs_minor), (ABI_MINOR, 0));
    }

    #[test]
    fn the_series_of_abi_stable_counts_and_not_the_patch() {
        let with = |version| Descriptor { abi_stable: padded(version), ..SAMPLE };
        for same in [Descriptor::ABI_STABLE, "0.11.0", "0.11.14"] {
            assert!(with(same).is_of_our_abi_stable(), "{same}");
        }
        for other in ["0.10.3", "0.12.0", "1.11.3", "0.110.3", "0.1", "0", ""] {
            assert!(!with(other).is_of_our_abi_stable(), "{other}");
        }
    }

    #[test]
    #[should_panic(expected = "a later minor")]
    fn a_plugin_cannot_need_what_it_was_not_built_for() {
        SAMPLE.needing(ABI_MINOR + 1);
    }

    #[test]
    fn metadata_is_parsed_and_unknown_things_are_left_out() {
        let metadata = SAMPLE.metadata().unwrap();
        assert_eq!((metadata.name.as_str(), metadata.summary.as_str()), ("sample", "a = b"));
        let offers: Vec<_> =
            metadata.offers.iter().map(|o| (o.kind.as_str(), &*o.name, &*o.summary)).collect();
        assert_eq!(offers, [("policy", "one", "first"), ("watcher", "three", "")]);
        assert_eq!(metadata.offers[0].options[0].key, "max");
        assert!(metadata.offers[1].options.is_empty());
    }

    #[test]
    fn metadata_has_nothing_that_a_terminal_would_obey() {
        let metadata = Metadata::parse("name=a\u{1b}[2Jb\rc");
        assert_eq!(metadata.name, "a\u{fffd}[2Jb\u{fffd}c");
    }

    #[test]
    fn anything_else_is_not_a_descriptor() {
        let good = bytes(&SAMPLE);
        assert!(Descriptor::read(&[]).is_none());
        assert!(Descriptor::read(&good[..40]).is_none());
        assert!(Descriptor::read(&good[1..]).is_none());
        let mut wrong_length = good.clone();
        wrong_length[36..40].fill(0xff);
        let read = Descriptor::read(&wrong_length).unwrap();
        assert!(read.metadata().is_none() && read.metadata_in(&wrong_length).is_none());
    }

    /// As a later minor may write it, or an earlier one have written it.
    #[test]
    fn metadata_may_be_longer_or_shorter_than_this_crate_s() {
        let with = |text: &str| {
            let mut bytes = bytes(&SAMPLE)[..56].to_vec();
            bytes.extend(text.as_bytes());
            bytes[16..20].copy_from_slice(&((56 + text.len()) as u32).to_ne_bytes());
            bytes[36..40].copy_from_slice(&(text.len() as u32).to_ne_bytes());
            bytes
        };
        for summary in [0, Descriptor::METADATA_ROOM, 30_000].map(|length| "x".repeat(length)) {
            let bytes = with(&format!("name=long\nsummary={summary}\noffer=policy:last"));
            let metadata = Descriptor::read(&bytes).unwrap().metadata_in(&bytes).unwrap();
            assert_eq!((&*metadata.name, &metadata.summary), ("long", &summary));
            assert_eq!(metadata.offers[0].name, "last");
        }
    }
}
