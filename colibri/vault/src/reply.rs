//! What `bw --response` says, read strictly.

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::VaultError;

/// Longest message of `bw` that is quoted.
const MAX_MESSAGE: usize = 200;

/// The outermost.
#[derive(Deserialize)]
struct Envelope<D> {
    success: bool,
    data: Option<D>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct ListOf<T> {
    object: String,
    data: Vec<T>,
}

/// What `bw status` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The server that it is set up for; none when it is set up for nothing.
    pub server_url: Option<String>,
    /// Whose account it is.
    pub user_id: Option<String>,
    /// `unauthenticated`, `locked` or `unlocked`.
    pub status: String,
}

#[derive(Deserialize)]
struct Template {
    template: Status,
}

/// What `bw unlock` says.
#[derive(Deserialize)]
pub(crate) struct Unlocked {
    /// The session's key.
    pub(crate) raw: SecretString,
}

/// A call of which only the success counts.
#[derive(Deserialize)]
pub(crate) struct Done {}

/// A collection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    /// A UUID.
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// Its name.
    pub name: String,
}

/// An item. What could not be decrypted is not there, or empty.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// A UUID.
    pub id: String,
    /// 1 a login, 2 a note, others.
    #[serde(rename = "type")]
    pub kind: u32,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// The collections that it is in.
    #[serde(default)]
    pub collection_ids: Option<Vec<String>>,
    /// The text of a note.
    #[serde(default)]
    pub notes: Option<SecretString>,
    /// Custom fields.
    #[serde(default)]
    pub fields: Option<Vec<Field>>,
    /// What a login has.
    #[serde(default)]
    pub login: Option<Login>,
}

/// A custom field.
#[derive(Debug, Deserialize)]
pub struct Field {
    /// 0 text, 1 hidden, 2 yes or no, 3 a link to another part of the item.
    #[serde(rename = "type")]
    pub kind: u32,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its value.
    #[serde(default)]
    pub value: Option<SecretString>,
}

/// What a login has, as far as it counts.
#[derive(Debug, Deserialize)]
pub struct Login {
    /// Its password.
    #[serde(default)]
    pub password: Option<SecretString>,
}

/// The data of a successful answer, or `bw`'s own message.
pub(crate) fn data<D: DeserializeOwned>(
    call: &str,
    stdout: &[u8],
) -> Result<Result<D, String>, VaultError> {
    let reply = |why: &str| VaultError::Reply {
        call: call.to_owned(),
        why: why.to_owned(),
    };
    if stdout.trim_ascii().is_empty() {
        return Err(reply("said nothing"));
    }
    // Where it is an error of JSON's, its text would quote a value.
    let envelope: Envelope<D> = serde_json::from_slice(stdout)
        .map_err(|_| reply("said something that is not the expected JSON"))?;
    match (envelope.success, envelope.data) {
        (true, Some(data)) => Ok(Ok(data)),
        (true, None) => Err(reply("says that it succeeded, and gives nothing")),
        (false, _) => Ok(Err(clipped(&envelope.message.unwrap_or_default()))),
    }
}

/// What a `bw list` says, or its own message.
///
/// # Errors
/// [`VaultError::Reply`] when it makes no sense.
pub fn list<T: DeserializeOwned>(
    call: &str,
    stdout: &[u8],
) -> Result<Result<Vec<T>, String>, VaultError> {
    Ok(match data::<ListOf<T>>(call, stdout)? {
        Ok(list) if list.object == "list" => Ok(list.data),
        Ok(_) => {
            return Err(VaultError::Reply {
                call: call.to_owned(),
                why: "gave something else than a list".to_owned(),
            });
        }
        Err(message) => Err(message),
    })
}

/// What `bw status` says.
///
/// # Errors
/// [`VaultError::Reply`] when it makes no sense, [`VaultError::Client`] when it is a refusal.
pub fn status(stdout: &[u8]) -> Result<Status, VaultError> {
    match data::<Template>("status", stdout)? {
        Ok(data) => Ok(data.template),
        Err(message) => Err(VaultError::Client {
            call: "status".to_owned(),
            message,
        }),
    }
}

/// One line, and not a long one.
pub(crate) fn clipped(message: &str) -> String {
    let line: Vec<&str> = message.split_whitespace().collect();
    let mut text: String = line
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_MESSAGE)
        .collect();
    if text.is_empty() {
        "it does not say why".clone_into(&mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn answers_of_the_tested_version_are_read() {
        let status_of = |text: &str| status(text.as_bytes()).unwrap();
        let fresh = status_of(
            r#"{"success":true,"data":{"object":"template","template":{"serverUrl":null,"lastSync":null,"status":"unauthenticated"}}}"#,
        );
        assert_eq!(
            (fresh.server_url, fresh.status.as_str()),
            (None, "unauthenticated")
        );
        let items: Vec<Item> = list("list items",
            br#"{"success":true,"data":{"object":"list","data":[{"type":1,"name":"KEY","id":"i","collectionIds":["c"],
            "object":"item","organizationId":"o","fields":[],"login":{"uris":[],"password":"pw"}},
            {"type":1,"name":"LOST","id":"j","collectionIds":["c"],"login":{"uris":[]}},
            {"type":1,"name":"HIDDEN","id":"k","fields":[{"type":1,"name":"A","value":null}],"login":{"password":null}}]}}"#,
        )
        .unwrap()
        .unwrap();
        let password = |at: usize| items[at].login.as_ref().unwrap().password.as_ref();
        assert_eq!(password(0).unwrap().expose_secret(), "pw");
        assert!(password(1).is_none() && password(2).is_none());
        assert!(items[2].fields.as_ref().unwrap()[0].value.is_none());
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_is_not_quoted() {
        for said in [
            "",
            "\n",
            "hunter2",
            "{\"success\":true}",
            "{\"success\":true,\"data\":{\"object\":\"x\",\"data\":[]}}",
            "{\"success\":true,\"data\":[\"hunter2\"]}",
            "? Master password: [hidden]",
        ] {
            let error = list::<Collection>("list collections", said.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), "reply", "{said}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let refusal = br#"{"success":false,"message":"Vault is\nlocked."}"#;
        let refused = list::<Collection>("list collections", refusal).unwrap();
        assert_eq!(refused, Err("Vault is locked.".to_owned()));
        let text = status(refusal).unwrap_err().to_string();
        assert_eq!(text, "`bw status` failed: Vault is locked.");
    }
}
