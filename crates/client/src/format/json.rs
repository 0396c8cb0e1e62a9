//! Values as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DeserializeContext, Deserializer, SerializeContext, Serializer};
use crate::{BoxError, Payload};

/// JSON text of whatever `serde` can write, without white space, and the other way round; needs the feature `json`.
///
/// `None` and `()` become the text `null`; leave the value out for a tombstone.
///
/// # Examples
/// ```no_run
/// # async fn example(producer: milena::Producer) -> milena::Result<()> {
/// use milena::format::Json;
///
/// #[derive(serde::Serialize)]
/// struct Order { id: u64, amount: f64 }
///
/// let orders = producer.typed::<str, Order>().value_format(Json);
/// orders.send("orders", "o-1", &Order { id: 1, amount: 9.5 }).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to set")]
pub struct Json;

impl<T: Serialize + ?Sized> Serializer<T> for Json {
    fn serialize<'a>(
        &self,
        value: &'a T,
        _: &mut SerializeContext<'_, 'a>,
    ) -> Result<Option<Payload<'a>>, BoxError> {
        Ok(Some(serde_json::to_vec(value)?.into()))
    }
}

impl<T: DeserializeOwned> Deserializer<T> for Json {
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
