//! DescribeClientQuotas (key 48), versions 0-1.
//!
//! What is set for users, client ids and addresses (KIP-546).

use milena_types::ErrorCode;
use milena_wire::messages::describe_client_quotas_request::DescribeClientQuotasRequest;
use milena_wire::messages::describe_client_quotas_response::{
    DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::quota::{EntityFilter, QuotaEntity, QuotaValues};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    _: &Call<'_>,
    request: &DescribeClientQuotasRequest,
) -> Outcome {
    let filter = match filter(request) {
        Ok(filter) => filter,
        Err(refused) => return Outcome::Answer(refuse(refused)),
    };
    let matching = state.quotas.iter().filter(|(entity, _)| filter.matches(entity));
    let entries = Some(matching.map(describe).collect());
    Outcome::Answer(DescribeClientQuotasResponse { entries, ..Default::default() }.into())
}

pub(super) fn error(_: &DescribeClientQuotasRequest, code: ErrorCode) -> Response {
    refuse(Refused::without_reason(code))
}

fn refuse(refused: Refused) -> Response {
    let (error_code, error_message) = refused.into_told();
    let entries = None;
    DescribeClientQuotasResponse { error_code, error_message, entries, ..Default::default() }.into()
}

fn filter(request: &DescribeClientQuotasRequest) -> Result<EntityFilter, Refused> {
    let mut filter = EntityFilter::new(request.strict);
    for component in &request.components {
        filter.add(&component.entity_type, component.match_type, component.r#match.as_deref())?;
    }
    filter.check()?;
    Ok(filter)
}

fn describe((entity, values): (&QuotaEntity, &QuotaValues)) -> EntryData {
    let part = |(kind, name): (&str, Option<&str>)| EntityData {
        entity_type: kind.into(),
        entity_name: name.map(ByteString::from),
    };
    let value =
        |(key, value): (&String, &f64)| ValueData { key: key.as_str().into(), value: *value };
    EntryData {
        entity: entity.parts().map(part).collect(),
        values: values.iter().map(value).collect(),
    }
}
