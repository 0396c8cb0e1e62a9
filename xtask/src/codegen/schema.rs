//! Kafka's message schemas, as the JSON files in the clients' jar have them.

use serde_json::Value;

use crate::Result;

/// One message.
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) api_key: Option<i16>,
    pub(super) kind: String,
    pub(super) versions: Range,
    pub(super) flexible: Range,
    pub(super) root: Struct,
    /// Structures used more than once, and those nested in fields.
    pub(super) structs: Vec<Struct>,
}

/// A structure of a message.
pub(super) struct Struct {
    pub(super) name: String,
    pub(super) about: String,
    /// The versions in which it occurs.
    pub(super) versions: Range,
    pub(super) fields: Vec<Field>,
}

/// A field of a structure.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) about: String,
    pub(super) versions: Range,
    pub(super) nullable: Range,
    pub(super) default: Option<String>,
    pub(super) ignorable: bool,
    pub(super) tag: Option<u32>,
    pub(super) tagged: Range,
}

/// What a field holds.
#[derive(Clone)]
pub(super) enum Kind {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Array(Box<Kind>),
    Struct(String),
}

/// A range of versions; empty where the low end is above the high end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Range {
    pub(super) low: i16,
    pub(super) high: i16,
}

impl Range {
    pub(super) const NONE: Self = Self { low: 0, high: -1 };

    /// Reads `3`, `2-5`, `4+` and `none`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let range = match text.split_once('-') {
            _ if text == "none" => Self::NONE,
            Some((low, high)) => Self { low: low.parse()?, high: high.parse()? },
            None => match text.strip_suffix('+') {
                Some(low) => Self { low: low.parse()?, high: i16::MAX },
                None => Self { low: text.parse()?, high: text.parse()? },
            },
        };
        Ok(range)
    }

    pub(super) fn is_empty(self) -> bool {
        self.low > self.high
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.min(other.high) }
    }

    pub(super) fn covers(self, other: Self) -> bool {
        self.and(other) == other
    }
}

impl Schema {
    /// Reads a schema file: JSON with comments of whole lines.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let json: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let json: Value = serde_json::from_str(&json)?;
        let versions = Range::parse(string(&json, "validVersions").ok_or("no validVersions")?)?;
        let name = string(&json, "name").ok_or("no name")?.to_owned();
        let flexible = Range::parse(string(&json, "flexibleVersions").unwrap_or("none"))?;
        let mut structs = Vec::new();
        for common in json.get("commonStructs").and_then(Value::as_array).into_iter().flatten() {
            read_struct(common, versions, &mut structs)?;
        }
        let root_fields = fields(&json, versions, &mut structs)?;
        let root =
            Struct { name: name.clone(), about: String::new(), versions, fields: root_fields };
        Ok(Self {
            name,
            api_key: json.get("apiKey").and_then(Value::as_i64).map(i16::try_from).transpose()?,
            kind: string(&json, "type").unwrap_or_default().to_owned(),
            versions,
            flexible,
            root,
            structs,
        })
    }
}

fn read_struct(json: &Value, within: Range, structs: &mut Vec<Struct>) -> Result {
    let name = string(json, "name").ok_or("a structure without a name")?.to_owned();
    let versions = Range::parse(string(json, "versions").unwrap_or("0+"))?.and(within);
    let fields = fields(json, versions, structs)?;
    let about = string(json, "about").unwrap_or_default().to_owned();
    structs.push(Struct { name, about, versions, fields });
    Ok(())
}

fn fields(json: &Value, within: Range, structs: &mut Vec<Struct>) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    for json in json.get("fields").and_then(Value::as_array).into_iter().flatten() {
        if let Some(field) = field(json, within, structs)? {
            fields.push(field);
        }
    }
    Ok(fields)
}

/// `None` for a field of versions that are no more.
fn field(json: &Value, within: Range, structs: &mut Vec<Struct>) -> Result<Option<Field>> {
    let tagged = range(json, "taggedVersions")?;
    let versions = Range::parse(string(json, "versions").ok_or("a field without versions")?)?;
    let versions = versions.and(within);
    if versions.is_empty() {
        return Ok(None);
    }
    let kind = Kind::parse(string(json, "type").ok_or("a field without a type")?.trim())?;
    if json.get("fields").is_some() {
        let mut named = json.clone();
        if let (Some(map), Some(name)) = (named.as_object_mut(), kind.struct_name()) {
            map.insert("name".into(), name.into());
        }
        read_struct(&named, versions, structs)?;
    }
    let default = json.get("default").map(|default| match default {
        Value::String(text) => text.trim().to_owned(),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => other.to_string(),
    });
    Ok(Some(Field {
        name: string(json, "name").ok_or("a field without a name")?.to_owned(),
        kind,
        about: string(json, "about").unwrap_or_default().to_owned(),
        versions,
        nullable: range(json, "nullableVersions")?.and(versions),
        default,
        ignorable: json.get("ignorable").is_some_and(|v| v == &Value::Bool(true) || v == "true"),
        tag: json.get("tag").and_then(Value::as_u64).map(u32::try_from).transpose()?,
        tagged,
    }))
}

impl Kind {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "uint16" => Self::Uint16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            other => match other.strip_prefix("[]") {
                Some(element) => Self::Array(Box::new(Self::parse(element)?)),
                None if other.starts_with(char::is_uppercase) => Self::Struct(other.to_owned()),
                None => return Err(format!("unknown type {other}").into()),
            },
        })
    }

    /// The structure that this is, or is an array of.
    pub(super) fn struct_name(&self) -> Option<&str> {
        match self {
            Self::Struct(name) => Some(name),
            Self::Array(element) => element.struct_name(),
            Self::Bool
            | Self::Int8
            | Self::Int16
            | Self::Uint16
            | Self::Int32
            | Self::Int64
            | Self::Float64
            | Self::Uuid
            | Self::String
            | Self::Bytes
            | Self::Records => None,
        }
    }
}

fn string<'a>(json: &'a Value, key: &str) -> Option<&'a str> {
    json.get(key).and_then(Value::as_str)
}

fn range(json: &Value, key: &str) -> Result<Range> {
    string(json, key).map_or(Ok(Range::NONE), Range::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_in_all_their_forms() {
        let range = |low, high| Range { low, high };
        assert_eq!(Range::parse("3").unwrap(), range(3, 3));
        assert_eq!(Range::parse("2-5").unwrap(), range(2, 5));
        assert_eq!(Range::parse("4+").unwrap(), range(4, i16::MAX));
        assert!(Range::parse("none").unwrap().is_empty());
    }

    #[test]
    fn a_field_of_removed_versions_is_left_out() {
        let schema = Schema::parse(
            r#"{
              // A comment.
              "name": "T", "type": "data", "validVersions": "3-4", "fields": [
                { "name": "Old", "type": "int32", "versions": "0-2" },
                { "name": "New", "type": "[]Part", "versions": "0+", "fields": [
                  { "name": "X", "type": "string", "versions": "4+", "nullableVersions": "4+" } ] } ] }"#,
        )
        .unwrap();
        assert_eq!(schema.root.fields.len(), 1);
        assert_eq!(schema.structs[0].name, "Part");
        assert_eq!(schema.structs[0].fields[0].versions, Range { low: 4, high: 4 });
    }
}
