//! [`Asked`]: the fields of one command.

use serde_json::{Map, Value};

use super::super::file::{File, RoleName};
use crate::topic::TopicFilter;

/// The fields of a command, their names in lower case.
pub(super) struct Asked<'a>(pub &'a Map<String, Value>);

impl Asked<'_> {
    /// A text that has to be there.
    pub(super) fn text(&self, key: &str, what: &str) -> Result<&str, String> {
        let text = self.0.get(key).and_then(Value::as_str);
        text.ok_or_else(|| format!("Invalid/missing {what}"))
    }

    /// A name for a new or an existing thing.
    pub(super) fn name(&self, key: &str) -> Result<&str, String> {
        let name = self.text(key, key)?;
        // an empty name cannot log in, and strings of MQTT contain no NUL
        let is_one = !name.is_empty() && !name.contains('\0');
        is_one.then_some(name).ok_or_else(|| format!("Invalid/missing {key}"))
    }

    /// A text that may be left out.
    pub(super) fn text_if_any(&self, key: &str, what: &str) -> Result<Option<&str>, String> {
        match self.0.get(key) {
            None => Ok(None),
            Some(_) => self.text(key, what).map(Some),
        }
    }

    /// A text, where there is one: anything else is left out.
    pub(super) fn some_text(&self, key: &str) -> Option<String> {
        self.0.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn number(&self, key: &str) -> Option<i64> {
        number(self.0.get(key)?)
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.0.get(key)?.as_bool()
    }

    pub(super) fn list(&self, key: &str) -> Option<&[Value]> {
        self.0.get(key)?.as_array().map(Vec::as_slice)
    }

    /// A Topic Filter that has to be there.
    pub(super) fn topic(&self) -> Result<&str, String> {
        let topic = self.text("topic", "topic")?;
        match TopicFilter::new(topic) {
            Ok(_) => Ok(topic),
            Err(_) => Err("Invalid ACL topic".into()),
        }
    }

    /// Roles that are in the file; `None`: the command names no list of them.
    pub(super) fn roles(&self, file: &mut File) -> Result<Option<Vec<RoleName>>, String> {
        const NO_LIST: &str = "'roles' not an array or missing/invalid rolename";
        let Some(list) = self.0.get("roles") else { return Ok(None) };
        let mut roles: Vec<RoleName> = Vec::new();
        for one in list.as_array().ok_or(NO_LIST)? {
            let name = one.get("rolename").and_then(Value::as_str).ok_or(NO_LIST)?;
            file.role(name).ok_or("Role not found")?;
            if !roles.iter().any(|role| role.rolename == name) {
                roles.push(RoleName { rolename: name.into(), priority: priority(one) });
            }
        }
        Ok(Some(roles))
    }
}

/// Names with priorities. Entries that are not objects with that key are ignored.
pub(super) fn names<'a>(list: &'a [Value], key: &'a str) -> impl Iterator<Item = (&'a str, i64)> {
    list.iter().filter_map(move |one| Some((one.get(key)?.as_str()?, priority(one))))
}

fn priority(one: &Value) -> i64 {
    one.get("priority").and_then(number).unwrap_or(-1)
}

fn number(value: &Value) -> Option<i64> {
    // as far as mosquitto reads it
    value.as_f64().map(|number| number as i64)
}
