//! Random ids, renamed by the order in which they appear.

use std::collections::BTreeMap;

use super::fields::Field;

/// The ids that one side has shown. Equal ids keep equal names, so which answer repeats which id is
/// still compared.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    seen: BTreeMap<(&'static str, String), usize>,
}

/// Fields that hold an id: the field's name, what it names, and the value that stands for none.
const IDS: [(&str, &str, &str); 8] = [
    ("topic_id", "topic", "AAAAAAAAAAAAAAAAAAAAAA"),
    ("cluster_id", "cluster", "None"),
    ("producer_id", "producer", "-1"),
    ("session_id", "session", "0"),
    ("port", "port", "-1"),
    ("member_id", "member", "\"\""),
    ("leader", "member", "\"\""),
    ("error_message", "message", "None"),
];

/// `8-4-4-4-12` hexadecimal digits.
const UUID_LENGTHS: [usize; 5] = [8, 4, 4, 4, 12];

impl Identities {
    /// Renames the ids of one answer.
    pub(crate) fn rename(&mut self, fields: &mut [Field]) {
        for field in fields {
            let name = field.path.rsplit('.').next().unwrap_or_default();
            let Some((_, kind, none)) = IDS.iter().find(|(id, ..)| *id == name) else { continue };
            if field.value == *none {
                continue;
            }
            field.value = match *kind {
                "member" | "message" => self.rename_uuids(kind, &field.value),
                kind => self.name(kind, &field.value),
            };
        }
    }

    /// How many members were shown before this one; one that was not comes last.
    pub(crate) fn place_of_member(&self, member_id: &str) -> usize {
        let mut members = self.seen.iter().filter(|((kind, _), _)| *kind == "member");
        let found = members.find(|((_, id), _)| member_id.ends_with(id.trim_matches('"')));
        found.map_or(usize::MAX, |(_, nth)| *nth)
    }

    /// Only what is random in a text.
    fn rename_uuids(&mut self, kind: &'static str, value: &str) -> String {
        if is_plain_uuid(value) {
            return self.name(kind, value);
        }
        let mut renamed = String::new();
        let mut rest = value;
        while let Some(at) = (0..rest.len()).find(|at| is_uuid_at(rest, *at)) {
            renamed += &rest[..at];
            renamed += &self.name(kind, &rest[at..at + 36]);
            rest = &rest[at + 36..];
        }
        renamed + rest
    }

    fn name(&mut self, kind: &'static str, id: &str) -> String {
        let next = self.seen.keys().filter(|(k, _)| *k == kind).count() + 1;
        let nth = self.seen.entry((kind, id.to_owned())).or_insert(next);
        format!("{kind}#{nth}")
    }
}

/// Whether a text is an id as a coordinator of the consumer protocol deals them: 22 digits of base 64.
fn is_plain_uuid(value: &str) -> bool {
    let text = value.trim_matches('"');
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.len() == 22 && text.chars().all(is_digit)
}

fn is_uuid_at(text: &str, at: usize) -> bool {
    let Some(candidate) = text.get(at..at + 36) else { return false };
    let parts: Vec<_> = candidate.split('-').collect();
    parts.len() == UUID_LENGTHS.len()
        && parts.iter().zip(UUID_LENGTHS).all(|(part, length)| {
            part.len() == length && part.chars().all(|c| c.is_ascii_hexdigit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(identities: &mut Identities, path: &str, value: &str) -> String {
        let mut fields = [Field { path: path.into(), value: value.into() }];
        identities.rename(&mut fields);
        fields[0].value.clone()
    }

    #[test]
    fn equal_ids_keep_equal_names_and_none_stays_none() {
        let mut ids = Identities::default();
        assert_eq!(renamed(&mut ids, "topics[0].topic_id", "x"), "topic#1");
        assert_eq!(renamed(&mut ids, "topics[0].topic_id", "y"), "topic#2");
        assert_eq!(renamed(&mut ids, "a.topic_id", "x"), "topic#1");
        assert_eq!(renamed(&mut ids, "session_id", "0"), "0");
        assert_eq!(renamed(&mut ids, "offset", "7"), "7");
    }

    #[test]
    fn members_have_their_places_as_they_appear() {
        let mut ids = Identities::default();
        let [first, second] = ["app-ffffffff-", "app-013ef74e-"]
            .map(|start| start.to_owned() + "a415-4ca3-b87f-e6a58213c8f3");
        assert_eq!(ids.place_of_member(&first), usize::MAX);
        for id in [&first, &second] {
            renamed(&mut ids, "member_id", &format!("{id:?}"));
        }
        assert_eq!([&first, &second].map(|id| ids.place_of_member(id)), [1, 2]);
    }

    #[test]
    fn a_member_id_keeps_its_prefix() {
        let mut ids = Identities::default();
        let member = "\"app-013ef74e-a415-4ca3-b87f-e6a58213c8f3\"";
        assert_eq!(renamed(&mut ids, "member_id", member), "\"app-member#1\"");
        assert_eq!(renamed(&mut ids, "leader", member), "\"app-member#1\"");
    }
}
