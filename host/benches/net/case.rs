//! What is asked of a service.

use std::{fmt, str::FromStr};

/// A protocol, the size of what is sent, and how many connections there are.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) protocol: Protocol,
    /// Bytes of a message of echo, or of the body of an answer of HTTP.
    pub(crate) size: usize,
    pub(crate) connections: usize,
}

#[derive(Clone, Copy)]
pub(crate) enum Protocol {
    Echo,
    Http,
}

impl Case {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let loads = [(64, 50), (64, 1_000), (16 * 1024, 50), (16 * 1024, 1_000)];
        [Protocol::Echo, Protocol::Http]
            .into_iter()
            .flat_map(move |protocol| loads.map(|(size, connections)| Self { protocol, size, connections }))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.protocol, self.size, self.connections)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Echo => "echo",
            Self::Http => "http",
        })
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "echo" => Ok(Self::Echo),
            "http" => Ok(Self::Http),
            _ => Err(format!("no protocol {text}")),
        }
    }
}
