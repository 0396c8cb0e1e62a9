//! AlterClientQuotas (key 49), versions 0-1.
//!
//! Sets and removes quotas of users, client ids and addresses (KIP-546).
//!
//! Notes: what producers write and consumers fetch, share consumers too, is limited, at each node for itself, and counted by
//! the bytes of records alone. So are the partitions that are made and deleted, by the controller for all nodes, and connections,
//! which all come from 127.0.0.1. Everyone is the user ANONYMOUS. `request_percentage` is kept and limits nothing
//! (`docs/decisions/0011-requests-that-take-no-time.md`), and no name of a host stands for an address.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::alter_client_quotas_request::{
    AlterClientQuotasRequest, EntryData as Wish,
};
use milena_wire::messages::alter_client_quotas_response::{
    AlterClientQuotasResponse, EntityData, EntryData,
};

use super::{Call, Outcome, Versions};
use crate::quota::{QuotaEntity, check_value};
use crate::state::{Refused, State};
use crate::store::Entry;

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    _: &Call<'_>,
    request: &AlterClientQuotasRequest,
) -> Outcome {
    let mut seen = BTreeSet::new();
    let mut entries: Vec<(QuotaEntity, EntryData)> = Vec::with_capacity(request.entries.len());
    for wish in &request.entries {
        let entity = entity_of(wish);
        if seen.insert(entity.clone()) {
            let altered = alter(state, &entity, wish, request.validate_only);
            entries.push((entity, answer(wish, altered.err())));
            continue;
        }
        // The first one holds, but is not what is told.
        let refused = ignoring(&entity);
        if let Some((_, told)) = entries.iter_mut().find(|(known, _)| *known == entity) {
            *told = answer(wish, Some(refused));
        }
    }
    let entries = entries.into_iter().map(|(_, told)| told).collect();
    Outcome::Answer(AlterClientQuotasResponse { entries, ..Default::default() }.into())
}

pub(super) fn error(request: &AlterClientQuotasRequest, code: ErrorCode) -> Response {
    let refused = || Some(Refused::without_reason(code));
    let entries = request.entries.iter().map(|wish| answer(wish, refused())).collect();
    AlterClientQuotasResponse { entries, ..Default::default() }.into()
}

fn alter(
    state: &mut State,
    entity: &QuotaEntity,
    wish: &Wish,
    validate_only: bool,
) -> Result<(), Refused> {
    let mut wished = BTreeMap::new();
    for op in &wish.ops {
        let value = (!op.remove).then_some(op.value);
        if wished.insert(&*op.key, value).is_some() {
            return Err(ignoring(entity));
        }
    }
    entity.check()?;
    let known = state.quotas.get(entity);
    if known.is_none() && state.quotas.len() >= ENTITIES_MAX {
        return Err(Refused::without_reason(ErrorCode::POLICY_VIOLATION));
    }
    let mut values = known.cloned().unwrap_or_default();
    for (key, value) in wished {
        match value {
            None => {
                values.remove(key);
            }
            Some(value) => {
                check_value(entity, key, value)?;
                values.insert(key.to_owned(), value);
            }
        }
    }
    if !validate_only {
        state.quotas.set(entity.clone(), values.clone());
        state.note(Entry::Quotas(entity.clone(), values));
    }
    Ok(())
}

fn entity_of(wish: &Wish) -> QuotaEntity {
    let parts = wish.entity.iter();
    QuotaEntity::new(parts.map(|part| {
        (part.entity_type.to_string(), part.entity_name.as_ref().map(ToString::to_string))
    }))
}

/// What is told of an entity, or of one of its quotas, that comes up twice.
fn ignoring(entity: &QuotaEntity) -> Refused {
    let parts = entity.parts().map(|(kind, name)| format!("{kind}={}", name.unwrap_or("null")));
    let parts = parts.collect::<Vec<_>>().join(", ");
    let why = format!("Ignoring duplicate entity ClientQuotaEntity(entries={{{parts}}})");
    Refused::new(ErrorCode::INVALID_REQUEST, why)
}

fn answer(wish: &Wish, refused: Option<Refused>) -> EntryData {
    let (error_code, error_message) = refused.map_or((ErrorCode::NONE, None), Refused::into_told);
    let part = |part: &milena_wire::messages::alter_client_quotas_request::EntityData| EntityData {
        entity_type: part.entity_type.clone(),
        entity_name: part.entity_name.clone(),
    };
    EntryData { error_code, error_message, entity: wish.entity.iter().map(part).collect() }
}

/// How many entities may have quotas (Kafka: no limit).
const ENTITIES_MAX: usize = 10_000;
