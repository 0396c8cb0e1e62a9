//! The list of brokers to start from.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;

/// A place to connect to: a host name or address, and a port.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct Address {
    /// A name, or an IP address without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl Address {
    /// The place `host:port`.
    pub fn new(host: impl Into<Arc<str>>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Reads `host:port`, `[v6]:port`, each with an optional `PLAINTEXT://` in front as Java allows.
    ///
    /// # Errors
    /// `Config`, naming the text, where the host or the port is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let problem =
            |what: &str| Error::config(BOOTSTRAP_SERVERS, format_args!("{text:?} {what}"));
        let place = text.split_once("://").map_or(text, |(_protocol, place)| place);
        let (host, port) =
            place.rsplit_once(':').ok_or_else(|| problem("has no port; write host:9092"))?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                rest.strip_suffix(']').ok_or_else(|| problem("has an unclosed bracket"))?
            }
            None if host.contains(':') => {
                return Err(problem("needs brackets around the IPv6 address: [::1]:9092"));
            }
            None => host,
        };
        let has_odd_char = |c: char| c.is_whitespace() || matches!(c, '/' | '@' | '[' | ']');
        if host.is_empty() || host.contains(has_odd_char) {
            return Err(problem("has no valid host name"));
        }
        match port.parse() {
            Ok(port) if port != 0 => Ok(Self::new(host, port)),
            Ok(_) | Err(_) => Err(problem("has no valid port (1 to 65535)")),
        }
    }

    /// Reads a list separated by commas, as `bootstrap.servers` has it; repeated entries count once.
    ///
    /// # Errors
    /// `Config` where an entry is malformed or there is none.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Error> {
        let mut addresses = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let address = Self::parse(entry)?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(Error::config(BOOTSTRAP_SERVERS, "names no broker; write host:9092"));
        }
        Ok(addresses)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

const BOOTSTRAP_SERVERS: &str = "bootstrap.servers";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_list_may_have_spaces_brackets_protocols_and_repeats() {
        let list = Address::parse_list(" b1:9092, [::1]:19092,PLAINTEXT://b-2.example:1 ,b1:9092,")
            .expect("well formed");
        let shown: Vec<_> = list.iter().map(Address::to_string).collect();
        assert_eq!(shown, ["b1:9092", "[::1]:19092", "b-2.example:1"]);
        assert_eq!(&*list[1].host, "::1");
    }

    #[test]
    fn a_malformed_entry_is_a_config_error_that_names_it() {
        for text in
            ["b1", "b1:", ":9092", "b1:0", "b1:65536", "::1:9092", "[::1:9092", "b 1:1", "", " , "]
        {
            let error = Address::parse_list(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().starts_with("bootstrap.servers: "), "{error}");
        }
    }
}
