//! A static leader that comes back under its name.

use super::*;

/// KIP-814: the coordinator has the assignment still; a leader that made a new one would move partitions for nothing.
#[test]
fn a_static_leader_that_came_back_makes_no_assignment() {
    let mut fixture = with(|group| group.instance_id = Some("one".into()));
    let sync = come_back(&mut fixture);
    let Request::SyncGroup(request) = &sync.body else { panic!("{:?}", sync.body) };
    assert!(request.assignments.is_empty());
    let partitions = (0..4).map(|index| TopicPartition::new("t", index)).collect();
    let assignment = MemberAssignment { partitions }.encode();
    fixture.answer(&sync, SyncGroupResponse { assignment, ..Default::default() });
    assert!(matches!(fixture.poll(), Some(Action::Take(_))));
    fixture.member.settled();
    // It leads all the same: topics that grow are its business.
    let partitions = (0..5).map(|index| PartitionMetadata::new(index, None, None)).collect();
    let grown = Cluster::new([], [TopicMetadata::new("t", None, partitions)]);
    fixture.member.handle_cluster(&grown);
    assert_eq!(changes(&mut fixture), [Change::Revoked]);
}

/// Its assignment was made before there was the topic, and it went before it heard of that: nobody else watches.
#[test]
fn a_static_leader_that_comes_back_to_nothing_has_the_group_share_out_again() {
    let mut fixture = with(|group| group.instance_id = Some("one".into()));
    let sync = come_back(&mut fixture);
    let assignment = MemberAssignment::default().encode();
    fixture.answer(&sync, SyncGroupResponse { assignment, ..Default::default() });
    let Request::JoinGroup(join) = fixture.sent().body else { panic!("it does not join") };
    assert_eq!(&*join.member_id, "me");
}

/// As above, where another member would get what there is: the leader does not see that nobody has it.
#[test]
fn a_static_leader_without_a_share_has_the_group_share_out_once() {
    let mut fixture = with(|group| group.instance_id = Some("one".into()));
    let one = [PartitionMetadata::new(0, None, None)];
    fixture.cluster = Cluster::new([], [TopicMetadata::new("t", None, one.into())]);
    let sync = come_back_with(&mut fixture, &["a", "me"]);
    let assignment = MemberAssignment::default().encode();
    fixture.answer(&sync, SyncGroupResponse { assignment, ..Default::default() });
    let join = fixture.sent();
    let Request::JoinGroup(request) = &join.body else { panic!("it does not join") };
    assert_eq!(&*request.member_id, "me");
    let sync = answer_join(&mut fixture, &join, &["a", "me"], false);
    let assignment = MemberAssignment::default().encode();
    fixture.answer(&sync, SyncGroupResponse { assignment, ..Default::default() });
    let taken = fixture.poll();
    assert!(matches!(&taken, Some(Action::Take(none)) if none.is_empty()), "{taken:?}");
}

/// Joins as the leader of a group whose assignment the coordinator keeps.
fn come_back(fixture: &mut Fixture) -> Outbound {
    come_back_with(fixture, &["me"])
}

fn come_back_with(fixture: &mut Fixture, members: &[&'static str]) -> Outbound {
    let join = fixture.sent();
    answer_join(fixture, &join, members, true)
}

fn answer_join(
    fixture: &mut Fixture,
    join: &Outbound,
    members: &[&'static str],
    skip_assignment: bool,
) -> Outbound {
    let response = JoinGroupResponse {
        generation_id: 4,
        protocol_name: Some("range".into()),
        leader: "me".into(),
        member_id: "me".into(),
        skip_assignment,
        members: members.iter().map(|id| described(id, subscription().encode())).collect(),
        ..Default::default()
    };
    fixture.answer(join, response);
    fixture.sent()
}
