//! A message as a flat list of paths and values.

use std::fmt::Debug;

/// One leaf of a message: `topics[0].partitions[2].error_code` and `0`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Field {
    /// Names from the outside in, list items by number.
    pub(crate) path: String,
    /// As Rust prints it.
    pub(crate) value: String,
}

/// Reads the fields out of what `{:#?}` prints, which any generated message has.
///
/// `Some` and newtypes leave no trace in the path, an empty list is the value `[]`.
pub(crate) fn fields(of: &impl Debug) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for line in format!("{of:#?}").lines() {
        let line = line.trim().trim_end_matches(',');
        if matches!(line, "}" | "]" | ")") {
            open.pop();
            continue;
        }
        let (name, rest) = match line.split_once(": ") {
            // A string may hold a colon; a field's name is a plain word.
            Some((name, rest)) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                (Some(name), rest)
            }
            _ => (None, line),
        };
        let segment = match (name, open.last_mut()) {
            (Some(name), _) => format!(".{name}"),
            (None, Some(Open { is_list: true, items, .. })) => {
                *items += 1;
                format!("[{}]", *items - 1)
            }
            (None, _) => String::new(),
        };
        if rest.ends_with(['{', '[', '(']) && !rest.starts_with(['"', 'b']) {
            open.push(Open { segment, is_list: rest.ends_with('['), items: 0 });
        } else {
            let path: String = open.iter().map(|o| o.segment.as_str()).collect();
            let path = format!("{path}{segment}").trim_start_matches('.').to_owned();
            fields.push(Field { path, value: rest.to_owned() });
        }
    }
    fields
}

/// Lists that have no order: the list's name, and the field by which an item is known.
const UNORDERED: [(&str, &str); 5] = [
    ("api_keys", "api_key"),
    ("configs", "name"),
    ("supported_features", "name"),
    ("finalized_features", "name"),
    ("groups", "group_id"),
];

/// Gives the items of unordered lists their names instead of their places.
pub(crate) fn name_items(fields: &mut [Field]) {
    for (list, key) in UNORDERED {
        let marker = format!("{list}[");
        let mut names = Vec::new();
        for field in fields.iter() {
            let Some(at) = field.path.find(&marker) else { continue };
            let Some(end) = field.path[at..].find(']').map(|end| at + end) else { continue };
            if field.path[end + 1..] == format!(".{key}") {
                let (item, value) = (&field.path[..=end], field.value.trim_matches('"'));
                names.push((
                    item.to_owned(),
                    format!("{}[{value}]", &field.path[..at + list.len()]),
                ));
            }
        }
        for field in fields.iter_mut() {
            if let Some((item, name)) = names.iter().find(|(item, _)| field.path.starts_with(item))
            {
                field.path = format!("{name}{}", &field.path[item.len()..]);
            }
        }
    }
}

struct Open {
    segment: String,
    is_list: bool,
    items: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "printed")]
    struct Topic {
        name: Option<&'static str>,
        code: Code,
        partitions: Vec<Partition>,
        ids: Vec<i32>,
    }

    #[derive(Debug)]
    #[expect(dead_code, reason = "printed")]
    struct Partition {
        index: i32,
        leader: Option<Code>,
        none: Vec<i32>,
    }

    #[derive(Debug)]
    #[expect(dead_code, reason = "printed")]
    struct Code(i16);

    #[test]
    fn an_item_without_order_is_known_by_its_name() {
        let field = |path: &str, value: &str| Field { path: path.into(), value: value.into() };
        let mut fields = [
            field("results[0].configs[0].name", "\"retention.ms\""),
            field("results[0].configs[0].value", "1"),
            field("results[0].configs[10].value", "2"),
        ];
        name_items(&mut fields);
        let paths: Vec<_> = fields.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "results[0].configs[retention.ms].name",
                "results[0].configs[retention.ms].value",
                "results[0].configs[10].value"
            ]
        );
    }

    #[test]
    fn each_leaf_has_its_path() {
        let partition = |index| Partition { index, leader: Some(Code(3)), none: vec![] };
        let topic = Topic {
            name: Some("a: {b"),
            code: Code(7),
            partitions: vec![partition(0), partition(1)],
            ids: vec![4, 5],
        };
        let printed: Vec<_> =
            fields(&topic).into_iter().map(|f| format!("{} {}", f.path, f.value)).collect();
        assert_eq!(
            printed,
            [
                "name \"a: {b\"",
                "code 7",
                "partitions[0].index 0",
                "partitions[0].leader 3",
                "partitions[0].none []",
                "partitions[1].index 1",
                "partitions[1].leader 3",
                "partitions[1].none []",
                "ids[0] 4",
                "ids[1] 5",
            ]
        );
    }
}
