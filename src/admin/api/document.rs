//! The OpenAPI 3.1 document, generated from the table of routes.

use serde_json::{Map, Value, json};

use super::{
    parameters::{Kind, Parameter},
    schema::{PROBLEM, Shape},
    table::{Gives, ROUTES, Route, Takes},
};

/// Generates the document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    let mut shapes = Vec::new();
    PROBLEM.all(&mut shapes);
    for route in &ROUTES {
        let path = paths.entry(format!("/api/v1/{}", route.path)).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route);
        if let Gives::One(shape) | Gives::List(shape) | Gives::Either(shape) = route.gives {
            shape.all(&mut shapes);
        }
        if let Takes::One(shape) | Takes::OneIfAny(shape) | Takes::OneOrMany(shape) = route.takes {
            shape.all(&mut shapes);
        }
    }
    let schemas: Map<_, _> = shapes.into_iter().map(|shape| (shape.name.to_owned(), shape.schema())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "dunlin",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The admin API of a dunlin MQTT broker. Lists answer {data, next}; a wrong request is \
                            answered as RFC 9457 has it, with a stable code.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "key": { "type": "http", "scheme": "bearer" },
            },
        },
        "security": [{ "basic": [] }, { "key": [] }, {}],
    })
}

fn operation(route: &Route) -> Value {
    let words = route.path.replace(['/', '-', '.'], "_").replace(['{', '}'], "");
    let mut parameters: Vec<_> = route.parameters.iter().copied().flatten().map(parameter).collect();
    if route.path.contains("{id}") {
        let about = match route.path.split('/').next() {
            Some("users") => "A user name, percent-encoded, slashes too",
            Some("bridges") => "The name of a bridge, percent-encoded",
            Some("traces") => "The number of a trace",
            _ => "A Client Identifier, percent-encoded, slashes too",
        };
        parameters.push(json!({
            "name": "id", "in": "path", "required": true, "description": about, "schema": { "type": "string" },
        }));
    }
    let is_versioned = !route.method.is_safe() && ["users/{id}", "rules"].contains(&route.path);
    if is_versioned {
        let about = "The ETag of the file to be changed. If it differs, the answer is 409";
        parameters.push(json!({
            "name": "If-Match", "in": "header", "required": false, "description": about, "schema": { "type": "string" },
        }));
    }
    let mut operation = json!({
        "operationId": format!("{}_{words}", route.method.as_str().to_lowercase()),
        "summary": route.about,
        "description": format!("Requires the role {} or a higher one.", route.role.name()),
        "x-role": route.role.name(),
        "parameters": parameters,
        "responses": {
            "200": { "description": "Success", "content": content(route) },
            "default": {
                "description": "It is not",
                "content": { "application/problem+json": { "schema": reference(&PROBLEM) } },
            },
        },
    });
    if let Some(body) = body(route) {
        operation["requestBody"] = body;
    }
    operation
}

fn reference(shape: &Shape) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", shape.name) })
}

fn content(route: &Route) -> Value {
    let list = |shape: &Shape| {
        let mut item = reference(shape);
        if route.parameters.iter().copied().flatten().any(|parameter| parameter.name == "fields") {
            // a sample of them
            item = json!({ "type": "object", "properties": shape.schema()["properties"] });
        }
        json!({
            "type": "object",
            "properties": { "data": { "type": "array", "items": item }, "next": { "type": ["string", "null"] } },
            "required": ["data", "next"],
        })
    };
    let (kind, schema) = match route.gives {
        Gives::One(shape) => ("application/json", reference(shape)),
        Gives::List(shape) => ("application/json", list(shape)),
        Gives::Either(shape) => ("application/json", json!({ "anyOf": [reference(shape), list(shape)] })),
        Gives::Lines => ("application/jsonl", json!({ "type": "string" })),
        Gives::Stream => ("text/event-stream", json!({ "type": "string" })),
        Gives::Document => ("application/json", json!({ "type": "object" })),
    };
    json!({ kind: { "schema": schema } })
}

fn body(route: &Route) -> Option<Value> {
    let (kind, schema, required) = match route.takes {
        Takes::Nothing => return None,
        Takes::One(shape) => ("application/json", reference(shape), true),
        Takes::OneIfAny(shape) => ("application/json", reference(shape), false),
        Takes::OneOrMany(shape) => {
            let many = json!({ "type": "array", "maxItems": 1000, "items": reference(shape) });
            ("application/json", json!({ "anyOf": [reference(shape), many] }), true)
        }
        Takes::Parameters => {
            let all = route.parameters.iter().copied().flatten();
            let properties: Map<_, _> = all.map(|one| (one.name.to_owned(), schema(one.kind))).collect();
            let schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
            ("application/json", schema, false)
        }
        Takes::Lines => ("application/jsonl", json!({ "type": "string" }), true),
        Takes::Toml => ("application/toml", json!({ "type": "string" }), true),
    };
    Some(json!({ "required": required, "content": { kind: { "schema": schema } } }))
}

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.about,
        "schema": schema(parameter.kind),
        "explode": false,
    })
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Network | Kind::Filter | Kind::Topic | Kind::Duration => json!({ "type": "string" }),
        Kind::Number(least, u64::MAX) => json!({ "type": "integer", "minimum": least }),
        Kind::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Time => json!({ "type": "string", "format": "date-time" }),
        Kind::Words(words) => {
            json!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": words } })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_exactly_the_routes_of_the_table() {
        let document = document();
        let told: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, verbs)| verbs.as_object().unwrap().keys().map(move |verb| format!("{verb} {path}")))
            .collect();
        let route = |route: &Route| format!("{} /api/v1/{}", route.method.as_str().to_lowercase(), route.path);
        let there: BTreeSet<_> = ROUTES.iter().map(route).collect();
        assert_eq!(told, there);
        assert_eq!(there.len(), ROUTES.len(), "a route appears twice");
    }

    #[test]
    fn the_document_defines_every_schema_that_it_refers_to() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(object) => object.iter().for_each(|(name, value)| match (name.as_str(), value) {
                    ("$ref", Value::String(to)) => found.push(to.clone()),
                    _ => references(value, found),
                }),
                Value::Array(all) => all.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > ROUTES.len());
        for to in found {
            assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to}");
        }
        let mut ids = BTreeSet::new();
        for route in &ROUTES {
            assert!(ids.insert(operation(route)["operationId"].to_string()));
            let names: Vec<_> = route.parameters.iter().copied().flatten().map(|one| one.name).collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{}: {names:?}", route.path);
        }
    }
}
