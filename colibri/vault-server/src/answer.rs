//! What is answered to what.

#![allow(clippy::unwrap_used, reason = "only tests call this")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::crypto::{ITERATIONS, Key, sealed_with_rsa, uuid};
use crate::http::{Reply, Request};
use crate::state::{Collection, Damage, Fault, Item, State};

const PRIVATE_KEY: &[u8] = include_bytes!("../keys/account.pkcs8");
const PUBLIC_KEY: &[u8] = include_bytes!("../keys/account.spki");
const ORGANISATION_KEY: &[u8; 64] = include_bytes!("../keys/organisation.key");
const ORGANISATION_KEY_SEALED: &[u8] = include_bytes!("../keys/organisation.oaep");

/// The account's own key; nothing but the private key is encrypted with it.
const USER_KEY: [u8; 64] = [7; 64];

const DATE: &str = "2026-01-01T00:00:00.000000Z";

/// The answer, or none: the connection is closed.
pub(crate) fn to(request: &Request, state: &State, base: &str, revision_ms: u128) -> Option<Reply> {
    let fault = |fault: Fault| state.faults.contains(&fault);
    if fault(Fault::Down) {
        return None;
    }
    let path = request.path.split('?').next().unwrap_or_default();
    let reply = match (request.method.as_str(), path) {
        ("POST", "/identity/connect/token") => token(request, state),
        ("GET", "/api/config") => Reply::ok(&config(base)),
        _ if fault(Fault::Unauthorized) || !request.has_token => {
            Reply::of(401, &json!({"message": "unauthorized"}))
        }
        ("GET", "/api/sync") => {
            let whole = Reply::ok(&sync(state));
            if fault(Fault::CutShort) {
                whole.cut_short()
            } else {
                whole
            }
        }
        ("GET", "/api/accounts/revision-date") => {
            let never = fault(Fault::OldRevision);
            Reply::ok(&json!(if never { 0 } else { revision_ms as u64 }))
        }
        ("GET", "/api/collections") => Reply::ok(&list(collections(state))),
        ("POST", "/api/accounts/key-management/user-key-id") => Reply::ok(&json!({})),
        _ => Reply::of(404, &json!({"message": "not found"})),
    };
    Some(reply)
}

fn config(base: &str) -> Value {
    json!({
        "object": "config", "version": "2025.12.0", "gitHash": "0",
        "server": {"name": "Vaultwarden", "url": "https://example.org"},
        "settings": {"disableUserRegistration": true},
        "environment": {
            "vault": base, "api": format!("{base}/api"), "identity": format!("{base}/identity"),
            "notifications": format!("{base}/notifications"), "sso": "", "cloudRegion": null,
        },
        "push": {"pushTechnology": 0, "vapidPublicKey": null},
        "featureStates": {},
    })
}

fn token(request: &Request, state: &State) -> Reply {
    if state.faults.contains(&Fault::RateLimited) {
        return Reply::of(429, &json!({"message": "Too many requests"}));
    }
    let form = |name: &str| request.form(name).unwrap_or_default();
    let refused = |why: &str| {
        Reply::of(
            400,
            &json!({
                "error": "", "error_description": "", "message": why,
                "ErrorModel": {"Message": why, "Object": "error"},
                "errorModel": {"message": why, "object": "error"},
                "validationErrors": {"": [why]}, "object": "error",
            }),
        )
    };
    if form("client_id") != state.client_id {
        return refused("Invalid client_id");
    }
    let is_rotated = state.faults.contains(&Fault::RotatedKey);
    if form("client_secret") != state.client_secret || is_rotated {
        return refused("Incorrect client_secret. Try again");
    }
    let (key, private) = account_keys(state);
    let claims = json!({
        "sub": uuid("account"), "name": "host", "email": state.email, "email_verified": true, "premium": true,
        "nbf": 1_767_225_600, "exp": 4_102_444_800_u64, "iss": "test", "sstamp": "stamp", "device": "device",
        "client_id": "cli", "scope": ["api"], "amr": ["Application"],
    });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let access = format!(
        "{}.{}.{}",
        part(json!({"typ": "JWT", "alg": "RS256"})),
        part(claims),
        URL_SAFE_NO_PAD.encode("unsigned")
    );
    Reply::ok(&json!({
        "access_token": access, "expires_in": 7200, "token_type": "Bearer", "scope": "api",
        "unofficialServer": true, "ResetMasterPassword": false, "ForcePasswordReset": false,
        "Key": key, "PrivateKey": private, "Kdf": 0, "KdfIterations": ITERATIONS,
        "AccountKeys": keys(&private),
        "UserDecryptionOptions": {
            "HasMasterPassword": true, "Object": "userDecryptionOptions",
            "MasterPasswordUnlock": unlock(state, &key),
        },
    }))
}

/// The account's key for its password, and its private key.
fn account_keys(state: &State) -> (String, String) {
    let master = Key::of_password(&state.password, &state.email);
    (
        master.seal(&USER_KEY),
        Key::from_bytes(&USER_KEY).seal(PRIVATE_KEY),
    )
}

fn keys(private: &str) -> Value {
    json!({
        "publicKeyEncryptionKeyPair": {
            "wrappedPrivateKey": private, "publicKey": STANDARD.encode(PUBLIC_KEY),
            "object": "publicKeyEncryptionKeyPair",
        },
        "object": "privateKeys",
    })
}

fn unlock(state: &State, key: &str) -> Value {
    json!({
        "Kdf": {"KdfType": 0, "Iterations": ITERATIONS, "Memory": null, "Parallelism": null},
        "MasterKeyEncryptedUserKey": key, "MasterKeyWrappedUserKey": key, "Salt": state.email,
    })
}

fn sync(state: &State) -> Value {
    let (key, private) = account_keys(state);
    let is_revoked = state.faults.contains(&Fault::Revoked);
    let is_empty = is_revoked || state.faults.contains(&Fault::EmptyVault);
    let organisations = if is_revoked {
        vec![]
    } else {
        vec![organisation()]
    };
    let ciphers = if is_empty { vec![] } else { ciphers(state) };
    json!({
        "object": "sync",
        "profile": {
            "object": "profile", "id": uuid("account"), "name": "host", "email": state.email,
            "emailVerified": true, "premium": true, "premiumFromOrganization": false, "culture": "en-US",
            "twoFactorEnabled": false, "key": key, "privateKey": private, "securityStamp": "stamp",
            "forcePasswordReset": false, "avatarColor": null, "usesKeyConnector": false,
            "creationDate": DATE, "verifyDevices": false, "accountKeys": keys(&private),
            "organizations": organisations, "providers": [], "providerOrganizations": [],
        },
        "folders": [], "collections": collections(state), "policies": [], "sends": [],
        "ciphers": ciphers,
        "domains": {"object": "domains", "equivalentDomains": [], "globalEquivalentDomains": []},
        "userDecryption": {"masterPasswordUnlock": unlock(state, &key)},
    })
}

fn organisation() -> Value {
    json!({
        "object": "profileOrganization", "id": uuid("organisation"), "name": "hive",
        "key": sealed_with_rsa(ORGANISATION_KEY_SEALED), "hasPublicAndPrivateKeys": true,
        "status": 2, "type": 2, "enabled": true, "userId": uuid("account"), "usersGetPremium": true,
        "organizationUserId": uuid("membership"), "identifier": null, "selfHost": true, "seats": 10,
        "useEvents": false, "usePolicies": false, "useTotp": true, "use2fa": true, "useApi": true,
        "limitCollectionCreation": true, "limitCollectionDeletion": true, "limitItemDeletion": false,
        "allowAdminAccessToAllCollectionItems": true, "productTierType": 3, "userIsClaimedByOrganization": false,
        "permissions": {},
    })
}

fn list(data: Vec<Value>) -> Value {
    json!({"object": "list", "data": data, "continuationToken": null})
}

fn organisation_key() -> Key {
    Key::from_bytes(ORGANISATION_KEY)
}

/// Two of one name have two ids.
fn id_of(place: usize, collection: &Collection) -> String {
    uuid(&format!("collection {place} {}", collection.name))
}

fn collections(state: &State) -> Vec<Value> {
    if state.faults.contains(&Fault::Revoked) {
        return Vec::new();
    }
    let rows = state.collections.iter().enumerate();
    rows.map(|(place, collection)| {
        json!({
            "object": "collectionDetails", "id": id_of(place, collection),
            "organizationId": uuid("organisation"), "name": organisation_key().seal(collection.name.as_bytes()),
            "externalId": null, "readOnly": true, "hidePasswords": collection.hide_passwords, "manage": false,
            "type": 0,
        })
    })
    .collect()
}

fn ciphers(state: &State) -> Vec<Value> {
    let mut all = Vec::new();
    for (place, collection) in state.collections.iter().enumerate() {
        for (number, item) in collection.items.iter().enumerate() {
            let id = uuid(&format!("item {place} {number}"));
            all.push(cipher(&id, &id_of(place, collection), collection, item));
        }
    }
    all
}

fn cipher(id: &str, collection_id: &str, collection: &Collection, item: &Item) -> Value {
    let key = organisation_key();
    let lost = Key::from_bytes(&[9; 64]);
    let seal = |text: &str, part: Damage| {
        let key = if item.damage == Some(part) { &lost } else { &key };
        key.seal(text.as_bytes())
    };
    let login = item.password.as_ref().map(|password| {
        json!({
            "username": null, "password": seal(password, Damage::Value), "uris": null, "uri": null,
            "totp": null, "passwordRevisionDate": null, "autofillOnPageLoad": null, "fido2Credentials": null,
        })
    });
    let fields: Vec<Value> = item
        .fields
        .iter()
        .map(|(name, value)| {
            json!({
                "name": key.seal(name.as_bytes()), "value": seal(value, Damage::Value), "type": 1,
                "linkedId": null,
            })
        })
        .collect();
    let is_login = login.is_some();
    json!({
        "object": "cipherDetails", "id": id, "type": if is_login { 1 } else { 2 },
        "organizationId": uuid("organisation"), "organizationUseTotp": true, "folderId": null,
        "collectionIds": [collection_id], "favorite": false, "edit": false,
        "viewPassword": !collection.hide_passwords, "permissions": {"delete": false, "restore": false},
        "creationDate": DATE, "revisionDate": DATE, "deletedDate": null, "archivedDate": null, "reprompt": 0,
        "key": (item.damage == Some(Damage::Key)).then(|| lost.seal(&[3; 64])),
        "name": seal(&item.name, Damage::Name),
        "notes": item.notes.as_ref().map(|notes| seal(notes, Damage::Value)),
        "fields": (!fields.is_empty()).then_some(fields),
        "login": login, "secureNote": (!is_login).then(|| json!({"type": 0})),
        "card": null, "identity": null, "sshKey": null, "attachments": null, "passwordHistory": null,
    })
}
