//! The schema as editors get it: closed mappings, so that they mark unknown keys, and names for readers.
//! The loader never uses it; it has its own words for unknown keys.

use serde_json::{Map, Value};

/// What our types of written configuration begin with; no reader cares.
const RAW: &str = "Raw";
const DEFINITIONS: &str = "#/$defs/";

pub(super) fn publish(mut schema: Value, name: &str) -> Value {
    walk(&mut schema);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".to_owned(), format!("Configuration of {name}").into());
        if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
            let renamed = std::mem::take(definitions).into_iter();
            *definitions = renamed.map(|(name, schema)| (without_raw(&name).to_owned(), schema)).collect();
        }
    }
    schema
}

fn walk(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            if is_mapping(entries) {
                entries.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            if let Some(Value::String(reference)) = entries.get_mut("$ref")
                && let Some(name) = reference.strip_prefix(DEFINITIONS)
            {
                *reference = format!("{DEFINITIONS}{}", without_raw(name));
            }
            entries.values_mut().for_each(walk);
        }
        Value::Array(items) => items.iter_mut().for_each(walk),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A schema whose keys are all listed in it. (A key named `properties` has no `type` of text beside it.)
fn is_mapping(schema: &Map<String, Value>) -> bool {
    let is_object = schema.get("type").and_then(Value::as_str) == Some("object");
    let has_parts = ["allOf", "anyOf", "oneOf"].iter().any(|part| schema.contains_key(*part));
    is_object && !has_parts && schema.contains_key("properties")
}

fn without_raw(name: &str) -> &str {
    name.strip_prefix(RAW).filter(|rest| !rest.is_empty()).unwrap_or(name)
}
