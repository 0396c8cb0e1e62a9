use super::*;

/// Who reads slowly never holds up who does not: what waits for his reader is half of his part at most.
#[test]
fn a_claimed_partition_is_asked_for_while_its_reader_is_less_than_half_behind() {
    let tp = |index| TopicPartition::new("t", index);
    let ask = |bytes_max| Ask {
        topic_id: None,
        offset: Offset::new(0).unwrap(),
        leader_epoch: None,
        bytes_max,
    };
    let claimed = [(tp(0), 0), (tp(1), 49), (tp(2), 50), (tp(3), 51)].into();
    let mut asks: BTreeMap<_, _> = (0..4).map(|index| (tp(index), ask(1000))).collect();
    asks.insert(tp(4), ask(1000));
    cut_claimed(100, &claimed, &mut asks);
    let left: Vec<_> = asks.iter().map(|(tp, ask)| (tp.partition, ask.bytes_max)).collect();
    assert_eq!(left, [(0, 100), (1, 100), (4, 1000)]);
    // However small a part is, whose reader has nothing is asked for.
    cut_claimed(0, &claimed, &mut asks);
    let left: Vec<_> = asks.iter().map(|(tp, ask)| (tp.partition, ask.bytes_max)).collect();
    assert_eq!(left, [(0, 1), (4, 1000)]);
    let parts = [0, 1, 2].map(|count| {
        part_of_claimed(1200, &claimed.iter().take(count).map(|(tp, _)| (tp.clone(), 0)).collect())
    });
    assert_eq!(parts, [1200 / PARTS_PER_CLAIM, 1200 / PARTS_PER_CLAIM, 600 / PARTS_PER_CLAIM]);
}

mod answers;
