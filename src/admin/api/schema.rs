//! Types of objects in answers and bodies, as tables. The OpenAPI document is generated from them; `fields` and `sort`
//! are checked against them.

use serde_json::{Map, Value, json};

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    Text,
    Number,
    /// A number with a fraction.
    Seconds,
    Flag,
    /// RFC 3339.
    Time,
    /// An object of this type.
    Object(&'static Shape),
    List(&'static Shape),
    Texts,
    /// Any JSON.
    Any,
}

/// One field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub name: &'static str,
    pub is: Is,
    /// May be null.
    pub nullable: bool,
    /// May be missing.
    pub optional: bool,
}

/// Type of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub name: &'static str,
    pub fields: &'static [Field],
}

pub(super) const fn field(name: &'static str, is: Is) -> Field {
    Field { name, is, nullable: false, optional: false }
}

pub(super) const fn nullable(name: &'static str, is: Is) -> Field {
    Field { name, is, nullable: true, optional: false }
}

pub(super) const fn optional(name: &'static str, is: Is) -> Field {
    Field { name, is, nullable: false, optional: true }
}

impl Shape {
    /// As JSON Schema.
    pub fn schema(&self) -> Value {
        let properties: Map<_, _> = self.fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
        let required: Vec<_> = self.fields.iter().filter(|field| !field.optional).map(|field| field.name).collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    /// This type and all types of its fields.
    pub fn all(&'static self, found: &mut Vec<&'static Self>) {
        if found.contains(&self) {
            return;
        }
        found.push(self);
        for field in self.fields {
            if let Is::Object(shape) | Is::List(shape) = field.is {
                shape.all(found);
            }
        }
    }
}

impl Field {
    fn schema(&self) -> Value {
        let reference = |shape: &Shape| json!({ "$ref": format!("#/components/schemas/{}", shape.name) });
        let plain = |kind: &str| match self.nullable {
            true => json!({ "type": [kind, "null"] }),
            false => json!({ "type": kind }),
        };
        match self.is {
            Is::Text => plain("string"),
            Is::Number => plain("integer"),
            Is::Seconds => plain("number"),
            Is::Flag => plain("boolean"),
            Is::Time => {
                let mut schema = plain("string");
                schema["format"] = "date-time".into();
                schema
            }
            Is::Object(shape) if self.nullable => json!({ "anyOf": [reference(shape), { "type": "null" }] }),
            Is::Object(shape) => reference(shape),
            Is::List(shape) => json!({ "type": "array", "items": reference(shape) }),
            Is::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Is::Any => json!({}),
        }
    }
}

/// The answer to a refused request (RFC 9457).
pub(super) static PROBLEM: Shape = Shape {
    name: "Problem",
    fields: &[
        field("type", Is::Text),
        field("title", Is::Text),
        field("status", Is::Number),
        field("detail", Is::Text),
        field("code", Is::Text),
        optional("version", Is::Text),
    ],
};
