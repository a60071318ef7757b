//! The JSON Schema of scenario files, for editors, made from the same table the reader uses.

use serde_json::{Map, Value, json};

use super::calendar::DAYS;
use super::keys::SCENARIO;
use super::kind::{Key, Kind, MISBEHAVIOURS, Need, Section};
use super::scalar::FACTORS;
use super::{request, word};
use crate::scenario::document::Node;

/// The schema, draft 2020-12.
pub fn schema() -> Value {
    let mut schema = section(&SCENARIO);
    let mut whole = Map::new();
    whole.insert(
        "$schema".into(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    whole.insert("title".into(), json!("mdmstorm scenario"));
    if let Some(keys) = schema.as_object_mut() {
        whole.append(keys);
    }
    whole.insert("$defs".into(), definitions());
    Value::Object(whole)
}

fn definitions() -> Value {
    let requests: Vec<&str> = request::names().collect();
    json!({
        "duration": {
            "type": "string",
            "pattern": "[0-9]\\s*[A-Za-z]",
            "examples": ["250ms", "30s", "5m", "1h30m"]
        },
        "distribution": {
            "oneOf": [
                { "type": "string", "pattern": "[0-9]\\s*[A-Za-z]", "examples": ["5s", "3m..15m"] },
                {
                    "type": "object",
                    "properties": { "lognormal": {
                        "type": "object",
                        "properties": {
                            "median": { "$ref": "#/$defs/duration" },
                            "p95": { "$ref": "#/$defs/duration" }
                        },
                        "required": ["median", "p95"],
                        "additionalProperties": false
                    } },
                    "required": ["lognormal"],
                    "additionalProperties": false
                },
                {
                    "type": "object",
                    "properties": { "exponential": {
                        "type": "object",
                        "properties": { "mean": { "$ref": "#/$defs/duration" } },
                        "required": ["mean"],
                        "additionalProperties": false
                    } },
                    "required": ["exponential"],
                    "additionalProperties": false
                }
            ]
        },
        "request": { "enum": requests }
    })
}

fn section(section: &Section) -> Value {
    let mut properties = Map::new();
    for key in section.keys {
        properties.insert(key.name.into(), property(key));
    }
    let required: Vec<&str> = section
        .keys
        .iter()
        .filter(|key| matches!(key.need, Need::Required))
        .map(|key| key.name)
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema["additionalProperties"] = json!(false);
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = kind(key.kind);
    schema["description"] = json!(key.about);
    if let Need::Default(toml) = key.need {
        schema["default"] = plain(&Node::parse_value(toml, 0));
    }
    schema
}

fn plain(node: &Node) -> Value {
    use super::document::Value as Toml;
    match &node.value {
        Toml::Text(text) => json!(text),
        Toml::Integer(number) => json!(number),
        Toml::Float(number) => json!(number),
        Toml::Flag(flag) => json!(flag),
        Toml::Unusable(what) => json!(what),
        Toml::List(items) => Value::Array(items.iter().map(plain).collect()),
        Toml::Table(_) => json!({}),
    }
}

#[expect(clippy::too_many_lines, reason = "one arm per kind")]
fn kind(of: Kind) -> Value {
    match of {
        Kind::Text | Kind::Path => json!({ "type": "string", "minLength": 1 }),
        Kind::Name => json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" }),
        Kind::Url => json!({ "type": "string", "pattern": "^https?://[^/@?#\\s][^@?#\\s]*$" }),
        Kind::Address => json!({ "type": "string", "pattern": "^.+:[0-9]{1,5}$" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Count => json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
        Kind::Seed => json!({ "type": "integer", "minimum": 0 }),
        Kind::Factor => {
            json!({ "type": "number", "minimum": FACTORS.start(), "maximum": FACTORS.end() })
        }
        Kind::Share => json!({ "oneOf": [
            { "type": "number", "minimum": 0, "maximum": 1 },
            { "type": "string", "pattern": "^\\s*[0-9.]+\\s*%\\s*$" }
        ] }),
        Kind::DistOr(word) => {
            json!({ "anyOf": [{ "const": word }, { "$ref": "#/$defs/distribution" }] })
        }
        Kind::DurationOr(word) => {
            json!({ "anyOf": [{ "const": word }, { "$ref": "#/$defs/duration" }] })
        }
        Kind::Offset => json!({ "type": "string", "pattern": "^\\s*[+-].*[0-9]\\s*[A-Za-z]" }),
        Kind::WeekTime => json!({
            "type": "string",
            "pattern": "^\\s*(mon|tue|wed|thu|fri|sat|sun)\\s+[0-2][0-9]:[0-5][0-9]\\s*$"
        }),
        Kind::Windows => json!({
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "string",
                "pattern": "^\\s*[0-2][0-9]:[0-5][0-9]\\s*\\.\\.\\s*[0-2][0-9]:[0-5][0-9]\\s*$"
            }
        }),
        Kind::Days => json!({ "anyOf": [
            { "enum": ["weekdays", "weekend"] },
            { "type": "array", "minItems": 1, "items": { "enum": DAYS } }
        ] }),
        Kind::Between(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Real => json!({ "type": "number", "minimum": -100_000, "maximum": 100_000 }),
        Kind::HowMany => json!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^\\s*[0-9.]+\\s*%?\\s*(\\.\\.\\s*[0-9.]+\\s*%?\\s*)?$" }
        ] }),
        Kind::Event => {
            let events = word::all_known();
            let known =
                events.map(|event| json!({ "const": event.name, "description": event.about }));
            json!({ "anyOf": known.collect::<Vec<_>>() })
        }
        Kind::Words(words) => json!({ "type": "array", "items": { "enum": words } }),
        Kind::Misbehaviour => json!({ "anyOf": [
            { "enum": MISBEHAVIOURS },
            {
                "type": "object",
                "properties": { "late": { "$ref": "#/$defs/distribution" } },
                "required": ["late"],
                "additionalProperties": false
            }
        ] }),
        Kind::Duration => json!({ "$ref": "#/$defs/duration" }),
        Kind::Dist => json!({ "$ref": "#/$defs/distribution" }),
        Kind::PushRate => json!({
            "type": "string",
            "pattern": "^\\s*[0-9]+ per .*[0-9]\\s*[A-Za-z]"
        }),
        Kind::Hosts => {
            json!({ "type": "array", "items": { "type": "string", "pattern": "^[^/\\s]+:[0-9]{1,5}$" } })
        }
        Kind::Texts => json!({ "type": "array", "items": { "type": "string", "minLength": 1 } }),
        Kind::Rate => {
            json!({ "type": "string", "pattern": "^\\s*[0-9.]+\\s*/\\s*(s|m|min|h|d)\\s*$" })
        }
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Secret => json!({
            "type": "object",
            "properties": { "env": { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" } },
            "required": ["env"],
            "additionalProperties": false
        }),
        Kind::Limit => json!({ "type": ["string", "number"] }),
        Kind::Request => json!({ "$ref": "#/$defs/request" }),
        Kind::Requests => json!({ "type": "array", "items": { "$ref": "#/$defs/request" } }),
        Kind::Headers => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        Kind::Rewrites => json!({
            "type": "object",
            "propertyNames": { "pattern": "^https?://" },
            "additionalProperties": { "type": "string", "pattern": "^https?://" }
        }),
        Kind::Dictionary => json!({ "type": "object" }),
        Kind::ReplyTimes => json!({
            "type": "object",
            "propertyNames": { "anyOf": [{ "const": "usual" }, { "$ref": "#/$defs/request" }] },
            "additionalProperties": { "$ref": "#/$defs/distribution" }
        }),
        Kind::Table(inner) => section(inner),
        Kind::TableOr(inner, words) => json!({ "oneOf": [section(inner), { "enum": words }] }),
        Kind::ShareOr(inner) => json!({ "oneOf": [section(inner), kind(Kind::Share)] }),
        Kind::Variant(inner) => {
            let mut schema = section(inner);
            schema["minProperties"] = json!(1);
            schema["maxProperties"] = json!(1);
            schema
        }
        Kind::Tables(inner) => json!({ "type": "array", "items": section(inner) }),
        Kind::TableOrTables(inner) => json!({ "oneOf": [
            section(inner),
            { "type": "array", "items": section(inner) }
        ] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::error::Problems;
    use crate::scenario::reader;

    /// A value that is right for a key of this kind.
    fn sample(kind: Kind) -> String {
        match kind {
            Kind::Text | Kind::Name => r#""a""#.into(),
            Kind::Path => r#""a.pem""#.into(),
            Kind::Url => r#""https://a.example""#.into(),
            Kind::Address => r#""127.0.0.1:2197""#.into(),
            Kind::Flag => "true".into(),
            Kind::Count | Kind::Seed => "7".into(),
            Kind::Factor | Kind::Share => "0.5".into(),
            Kind::Duration => r#""5s""#.into(),
            Kind::Dist => r#"{ lognormal = { median = "1s", p95 = "2s" } }"#.into(),
            Kind::DistOr(_) => r#""1s..2s""#.into(),
            Kind::DurationOr(word) => format!("{word:?}"),
            Kind::Offset => r#""-11m""#.into(),
            Kind::WeekTime => r#""tue 07:30""#.into(),
            Kind::Windows => r#"["22:00..07:00"]"#.into(),
            Kind::Days => r#"["mon", "sun"]"#.into(),
            Kind::Between(least, _) => least.to_string(),
            Kind::Integer | Kind::Real => "-3".into(),
            Kind::HowMany => r#""10%..20%""#.into(),
            Kind::Event => r#""wake""#.into(),
            Kind::Words(words) => format!("[{:?}]", words[0]),
            Kind::Misbehaviour => r#"{ late = "10s" }"#.into(),
            Kind::Rate => r#""5/s""#.into(),
            Kind::PushRate => r#""5 per 1m""#.into(),
            Kind::Hosts => r#"["a.example:443"]"#.into(),
            Kind::Texts => r#"["a"]"#.into(),
            Kind::Choice(words) => format!("{:?}", words[0]),
            Kind::Secret => r#"{ env = "KEY" }"#.into(),
            Kind::Limit => r#""5s""#.into(),
            Kind::Requests => r#"["ProfileList"]"#.into(),
            Kind::Request => r#""ProfileList""#.into(),
            Kind::Rewrites => r#"{ "https://a.example" = "http://127.0.0.1:9000" }"#.into(),
            Kind::Headers | Kind::Dictionary => r#"{ A = "b" }"#.into(),
            Kind::ReplyTimes => r#"{ usual = "1s", ProfileList = "1s..2s" }"#.into(),
            Kind::Table(inner) | Kind::TableOr(inner, _) | Kind::ShareOr(inner) => all(inner),
            Kind::Variant(inner) => {
                let first = inner.keys.last().unwrap();
                format!("{{ {} = {} }}", first.name, sample(first.kind))
            }
            Kind::Tables(inner) | Kind::TableOrTables(inner) => format!("[{}]", all(inner)),
        }
    }

    fn all(section: &Section) -> String {
        let keys = section.keys.iter();
        let pairs: Vec<String> = keys
            .map(|k| format!("{} = {}", k.name, sample(k.kind)))
            .collect();
        format!("{{ {} }}", pairs.join(", "))
    }

    #[test]
    fn reader_and_schema_take_every_key_and_agree_on_what_is_wrong() {
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        for key in SCENARIO.keys {
            let samples = [
                (sample(key.kind), true),
                (r#"{ surely-unknown = 1 }"#.to_owned(), false),
                ("-1".to_owned(), false),
                ("[[1]]".to_owned(), false),
            ];
            for (text, is_right) in samples {
                // Everything else is right, so what is wrong is this key.
                let others = SCENARIO.keys.iter().filter(|other| other.name != key.name);
                let mut document: String = others
                    .map(|other| format!("{} = {}\n", other.name, sample(other.kind)))
                    .collect();
                document += &format!("{} = {text}\n", key.name);
                let mut problems = Problems::new("a.toml", &document);
                let node = Node::parse(&document).ok().unwrap();
                reader::read(&node, &SCENARIO, &mut problems);
                let json = serde_json::to_value(toml::from_str::<toml::Value>(&document).unwrap());
                let by_schema = validator.is_valid(&json.unwrap());
                assert_eq!(problems.is_empty(), is_right, "{document}\n{problems:?}");
                assert_eq!(by_schema, is_right, "{document}");
            }
        }
    }

    #[test]
    fn every_key_is_explained() {
        fn walk(section: &Section) {
            for key in section.keys {
                assert!(
                    key.about.len() > 10 && key.about.ends_with('.'),
                    "{}",
                    key.name
                );
                if let Some(inner) = key.kind.section() {
                    walk(inner);
                }
            }
        }
        walk(&SCENARIO);
    }
}
