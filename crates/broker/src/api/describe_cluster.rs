//! DescribeCluster (key 60), versions 0-2.
//!
//! The cluster's name, its controller and its nodes; from version 2 on those too that are fenced, if asked for.
//!
//! Notes: controllers cannot be asked for (endpoint type 2), as with a broker of Kafka.

use milena_types::{ErrorCode, NodeId};
use milena_wire::messages::describe_cluster_request::DescribeClusterRequest;
use milena_wire::messages::describe_cluster_response::{
    DescribeClusterBroker, DescribeClusterResponse,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, UNASKED, Versions};
use crate::node::Node;
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 2);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DescribeClusterRequest,
) -> Outcome {
    if request.endpoint_type != BROKERS {
        let message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
        let mismatch = DescribeClusterResponse {
            error_code: ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            error_message: Some(message.into()),
            ..Default::default()
        };
        return Outcome::Answer(mismatch.into());
    }
    let describe = |node: &Node| DescribeClusterBroker {
        broker_id: node.id.get(),
        host: node.host.clone().into(),
        port: node.port.into(),
        rack: node.rack.clone().map(ByteString::from),
        is_fenced: !node.is_registered,
    };
    let may_be_told =
        |node: &&Node| node.is_registered || (request.include_fenced_brokers && !node.is_forgotten);
    let nodes = state.nodes.iter().filter(may_be_told);
    let asks = request.include_cluster_authorized_operations;
    let response = DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: state.settings.cluster_id.clone().into(),
        controller_id: state.nodes.controller().map_or(-1, NodeId::get),
        brokers: nodes.map(describe).collect(),
        cluster_authorized_operations: if asks { call.cluster_operations(state) } else { UNASKED },
        ..Default::default()
    };
    Outcome::Answer(response.into())
}

pub(super) fn error(_: &DescribeClusterRequest, code: ErrorCode) -> Response {
    DescribeClusterResponse { error_code: code, ..Default::default() }.into()
}

const BROKERS: i8 = 1;
