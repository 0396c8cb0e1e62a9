//! Salted passwords by which users can prove who they are (SCRAM: RFC 5802, KIP-84, KIP-554).
//!
//! Whoever lets users log in finds all that a SCRAM exchange takes in [`Credentials::get`].

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

/// A mechanism, by Kafka's number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum ScramMechanism {
    Sha256 = 1,
    Sha512 = 2,
}

impl ScramMechanism {
    pub(crate) fn code(self) -> i8 {
        self as i8
    }

    pub(crate) fn from_code(code: i8) -> Option<Self> {
        [Self::Sha256, Self::Sha512].into_iter().find(|known| known.code() == code)
    }
}

/// What is known of a user's password. Kafka keeps the two keys that are derived from it in the place of the salted password.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Credential {
    pub(crate) salt: Bytes,
    pub(crate) salted_password: Bytes,
    pub(crate) iterations: i32,
}

/// A password is in no log.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The credentials of all users, at most one of a mechanism.
#[derive(Debug, Default)]
pub(crate) struct Credentials(BTreeMap<(String, ScramMechanism), Credential>);

impl Credentials {
    pub(crate) fn get(&self, user: &str, mechanism: ScramMechanism) -> Option<&Credential> {
        self.0.get(&(user.to_owned(), mechanism))
    }

    /// By users, and of a user by mechanisms.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, ScramMechanism, &Credential)> {
        self.0.iter().map(|((user, mechanism), credential)| (user.as_str(), *mechanism, credential))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn set(&mut self, user: String, mechanism: ScramMechanism, credential: Credential) {
        self.0.insert((user, mechanism), credential);
    }

    pub(crate) fn remove(&mut self, user: &str, mechanism: ScramMechanism) {
        self.0.remove(&(user.to_owned(), mechanism));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed() {
        let (salt, salted_password) = (Bytes::from("s4lt"), Bytes::from("p4ssw0rd"));
        let mut credentials = Credentials::default();
        let credential = Credential { salt, salted_password, iterations: 4096 };
        credentials.set("u".to_owned(), ScramMechanism::Sha512, credential);
        let printed = format!("{credentials:?}");
        assert!(printed.contains("iterations: 4096"), "{printed}");
        assert!(!printed.contains("s4lt") && !printed.contains("p4ssw0rd"), "{printed}");
    }
}
