//! A record set on its way through a message, uncopied.

use bytes::Bytes;

/// Record batches as a Produce or Fetch message carries them.
///
/// Written as two parts, so that a batch's header can be stamped anew while its body stays where it is; read as one
/// slice of the frame, in `head`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "two parts are all that a re-stamped batch has")]
pub struct Records {
    /// The first part; all of it in a message that was read.
    pub head: Bytes,
    /// The second part.
    pub body: Bytes,
}

impl Records {
    /// Bytes of both parts.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there is not a byte.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    /// Both parts in one piece; copies only where both hold something.
    pub fn into_bytes(self) -> Bytes {
        if self.body.is_empty() {
            return self.head;
        }
        if self.head.is_empty() {
            return self.body;
        }
        [self.head, self.body].concat().into()
    }
}

impl From<Bytes> for Records {
    fn from(head: Bytes) -> Self {
        Self { head, body: Bytes::new() }
    }
}
