//! The secrets of one collection, out of its items.
//!
//! | item | makes |
//! |---|---|
//! | login | a variable of the item's name, its password the value |
//! | note without custom fields | a variable of the item's name, its text the value |
//! | note with custom fields | nothing by itself: its name and text are for people |
//! | custom field of either (text, hidden, yes or no) | a variable of the field's name |
//!
//! Anything else is an error: an agent gets all that was meant for it, or does not start.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};

use crate::env::{self, SecretName};
use crate::reply::Item;
use crate::{MAX_FILE, VaultError};

const LOGIN: u32 = 1;
const NOTE: u32 = 2;

/// A custom field that points to another part of its item.
const LINKED: u32 = 3;

/// What `bw` puts in the place of what it cannot decrypt, here and there.
const UNDECRYPTABLE: &str = "[error: cannot decrypt]";

/// The secrets of one collection, by name.
#[derive(Debug)]
pub struct Bucket {
    /// The collection's id: a UUID.
    pub collection_id: String,
    /// All of them.
    pub secrets: BTreeMap<SecretName, SecretString>,
}

impl Bucket {
    /// Their names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.secrets.keys().map(ToString::to_string).collect()
    }

    /// The `.env`.
    pub fn to_env(&self) -> SecretString {
        env::write(
            self.secrets
                .iter()
                .map(|(name, value)| (name.as_str(), value)),
        )
    }

    /// What the items of a collection make.
    ///
    /// # Errors
    /// [`VaultError::Item`], [`VaultError::ForeignItem`], [`VaultError::DuplicateName`] and
    /// [`VaultError::CollectionEmpty`].
    pub fn of_items(
        collection: &str,
        collection_id: &str,
        items: Vec<Item>,
        canary: Option<&str>,
    ) -> Result<Self, VaultError> {
        let mut bucket = Self {
            collection_id: collection_id.to_owned(),
            secrets: BTreeMap::new(),
        };
        let mut origins = BTreeMap::new();
        let mut sings = canary.is_none();
        for item in items {
            let is_in = item
                .collection_ids
                .as_ref()
                .is_some_and(|ids| ids.iter().any(|id| id == collection_id));
            if !is_in {
                return Err(VaultError::ForeignItem {
                    item: item.id,
                    collection: collection.to_owned(),
                });
            }
            if canary.is_some() && item.name.as_deref() == canary {
                sings = true;
                continue;
            }
            bucket.add(item, &mut origins)?;
        }
        if !sings {
            return Err(VaultError::Item {
                item: format!("{:?}", canary.unwrap_or_default()),
                why: format!(
                    "is VAULT_CANARY, and `{collection}` lacks it: what bw gave is not used"
                ),
            });
        }
        if bucket.secrets.is_empty() {
            return Err(VaultError::CollectionEmpty {
                name: collection.to_owned(),
            });
        }
        let len = bucket.to_env().expose_secret().len();
        if len > MAX_FILE {
            return Err(VaultError::Item {
                item: format!("list of `{collection}`"),
                why: format!("makes an `.env` of {len} bytes, and {MAX_FILE} are the most"),
            });
        }
        Ok(bucket)
    }

    fn add(
        &mut self,
        item: Item,
        origins: &mut BTreeMap<SecretName, String>,
    ) -> Result<(), VaultError> {
        let shown = shown(&item);
        let fault = |why: String| VaultError::Item {
            item: shown.clone(),
            why,
        };
        let fields = item.fields.unwrap_or_default();
        let own = match (item.kind, item.login) {
            (LOGIN, login) => Some((login.and_then(|login| login.password), "password")),
            (NOTE, _) if fields.is_empty() => Some((item.notes, "text")),
            (NOTE, _) => None,
            (kind, _) => {
                return Err(fault(format!(
                    "is of the type {kind}: only logins (1) and notes (2) are taken"
                )));
            }
        };
        let mut found = Vec::new();
        if let Some((value, what)) = own {
            found.push((item.name.unwrap_or_default(), value, format!("its {what}")));
        }
        for field in fields {
            let name = field.name.unwrap_or_default();
            if field.kind == LINKED {
                return Err(fault(format!("has a field {name:?} that is a link")));
            }
            let what = format!("its field {name:?}");
            found.push((name, field.value, what));
        }
        for (name, value, what) in found {
            let name: SecretName = name.parse().map_err(&fault)?;
            let value = value.ok_or_else(|| {
                fault(format!(
                    "gives no value for `{name}`: bw cannot decrypt {what}, or the account may not see it (\"hide passwords\")"
                ))
            })?;
            let exposed = value.expose_secret();
            if exposed == UNDECRYPTABLE {
                return Err(fault(format!("cannot be decrypted by bw: {what}")));
            }
            env::check_value(exposed).map_err(&fault)?;
            if let Some(first) = origins.insert(name.clone(), shown.clone()) {
                return Err(VaultError::DuplicateName {
                    name: name.to_string(),
                    first,
                    second: shown.clone(),
                });
            }
            self.secrets.insert(name, value);
        }
        Ok(())
    }
}

/// An item's name and id, for people who look for it.
fn shown(item: &Item) -> String {
    let name: String = item
        .name
        .iter()
        .flat_map(|name| name.chars())
        .take(64)
        .collect();
    if name.is_empty() {
        return format!("without a name ({})", item.id);
    }
    format!("{name:?} ({})", item.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn bucket(items: Value, canary: Option<&str>) -> Result<Bucket, VaultError> {
        let items = serde_json::from_value(items).unwrap();
        Bucket::of_items("main", "c", items, canary)
    }

    fn login(name: &str, password: &str) -> Value {
        json!({"type": 1, "id": "i", "name": name, "collectionIds": ["c"], "login": {"password": password}})
    }

    fn why(item: Value) -> String {
        bucket(json!([item]), None).unwrap_err().to_string()
    }

    #[test]
    fn logins_notes_and_fields_are_variables() {
        let bucket = bucket(
            json!([
                login("B", "it's"),
                {"type": 2, "id": "j", "name": "A", "collectionIds": ["x", "c"], "notes": "two\nlines", "fields": []},
                {"type": 2, "id": "k", "name": "for people", "collectionIds": ["c"], "notes": "text",
                 "fields": [{"type": 0, "name": "D", "value": "1"}, {"type": 2, "name": "C", "value": "true"}]},
            ]),
            None,
        )
        .unwrap();
        assert_eq!(bucket.names(), ["A", "B", "C", "D"]);
        assert_eq!(
            bucket.to_env().expose_secret(),
            "A='two\nlines'\nB=\"it's\"\nC='true'\nD='1'\n"
        );
    }

    #[test]
    fn what_was_meant_and_did_not_come_is_an_error_that_names_the_item() {
        let item = |more: Value| {
            let mut item = json!({"type": 1, "id": "id-7", "name": "KEY", "collectionIds": ["c"]});
            item.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            item
        };
        for (item, rule) in [
            (item(json!({"login": {}})), "gives no value for `KEY`"),
            (item(json!({"login": {"password": null}})), "hide passwords"),
            (item(json!({})), "gives no value"),
            (item(json!({"login": {"password": ""}})), "an empty value"),
            (item(json!({"login": {"password": "a\0b"}})), "NUL"),
            (
                item(json!({"login": {"password": UNDECRYPTABLE}})),
                "cannot be decrypted",
            ),
            (
                item(json!({"name": "", "login": {"password": "x"}})),
                "without a name (id-7)",
            ),
            (
                item(json!({"name": "PATH", "login": {"password": "x"}})),
                "programs act on",
            ),
            (item(json!({"type": 2})), "gives no value"),
            (item(json!({"type": 3})), "of the type 3"),
            (
                item(json!({"type": 2, "fields": [{"type": 1, "name": "F", "value": null}]})),
                "gives no value for `F`",
            ),
            (
                item(json!({"type": 2, "fields": [{"type": 3, "name": "F", "value": "x"}]})),
                "is a link",
            ),
        ] {
            let text = why(item);
            assert!(text.contains(rule) && text.contains("id-7"), "{text}");
        }
    }

    #[test]
    fn one_name_twice_another_s_item_and_nothing_are_errors() {
        let twice = bucket(json!([login("A", "1"), login("A", "2")]), None).unwrap_err();
        assert_eq!(twice.kind(), "duplicate-name");
        let mut foreign = login("A", "1");
        foreign["collectionIds"] = json!(["other"]);
        let error = bucket(json!([foreign]), None).unwrap_err();
        assert_eq!(error.kind(), "foreign-item");
        assert_eq!(
            bucket(json!([]), None).unwrap_err().kind(),
            "collection-empty"
        );
        let mut nowhere = login("A", "1");
        nowhere["collectionIds"] = Value::Null;
        assert_eq!(
            bucket(json!([nowhere]), None).unwrap_err().kind(),
            "foreign-item"
        );
    }

    #[test]
    fn a_canary_must_be_there_and_is_handed_to_nobody() {
        let with = json!([login("A", "1"), login("canary", "x")]);
        assert_eq!(bucket(with, Some("canary")).unwrap().names(), ["A"]);
        let error = bucket(json!([login("A", "1")]), Some("canary")).unwrap_err();
        assert!(error.to_string().contains("VAULT_CANARY"), "{error}");
    }

    #[test]
    fn secrets_that_no_program_could_be_started_with_are_refused() {
        let many: Vec<_> = (0..5)
            .map(|at| login(&format!("A{at}"), &"x".repeat(env::MAX_VALUE)))
            .collect();
        let text = bucket(json!(many), None).unwrap_err().to_string();
        assert!(text.contains("are the most"), "{text}");
    }

    #[test]
    fn nothing_of_it_is_shown() {
        let bucket = bucket(json!([login("A", "hunter2")]), None).unwrap();
        assert!(!format!("{bucket:?}").contains("hunter2"));
    }
}
