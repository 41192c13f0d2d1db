//! What the server holds, and how it misbehaves.

/// An account, the collections of its one organisation, and what goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The account's address.
    pub email: String,
    /// The API key's name: `user.` and the account's UUID.
    pub client_id: String,
    /// The API key's secret.
    pub client_secret: String,
    /// The master password.
    pub password: String,
    /// What the account sees.
    pub collections: Vec<Collection>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The pause before each answer, in milliseconds.
    pub pause_ms: u64,
}

impl Default for State {
    /// An account, and a collection `main` with one secret.
    fn default() -> Self {
        Self {
            email: "host@example.org".to_owned(),
            client_id: format!("user.{}", crate::crypto::uuid("account")),
            client_secret: "secret-of-the-api-key".to_owned(),
            password: "password of the vault".to_owned(),
            collections: vec![Collection::new(
                "main",
                [Item::login("OPENAI_API_KEY", "sk-of-main")],
            )],
            faults: Vec::new(),
            pause_ms: 0,
        }
    }
}

/// A collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collection {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub items: Vec<Item>,
    /// Whether the account may use, but not see its passwords.
    pub hide_passwords: bool,
}

impl Collection {
    /// One with these items.
    pub fn new(name: &str, items: impl IntoIterator<Item = Item>) -> Self {
        Self {
            name: name.to_owned(),
            items: items.into_iter().collect(),
            hide_passwords: false,
        }
    }
}

/// An item: a login when it has a password, else a note.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Option<String>,
    /// Its notes.
    pub notes: Option<String>,
    /// Its custom fields, names and values; they are hidden ones.
    pub fields: Vec<(String, String)>,
    /// What of it is encrypted with a key that nobody has.
    pub damage: Option<Damage>,
}

impl Item {
    /// A login.
    pub fn login(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: Some(password.to_owned()),
            ..Self::default()
        }
    }

    /// A note.
    pub fn note(name: &str, notes: &str) -> Self {
        Self {
            name: name.to_owned(),
            notes: Some(notes.to_owned()),
            ..Self::default()
        }
    }

    /// The same with a part that cannot be decrypted.
    pub fn damaged(self, damage: Damage) -> Self {
        Self {
            damage: Some(damage),
            ..self
        }
    }
}

/// What cannot be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The name.
    Name,
    /// The password, or the notes of a note.
    Value,
    /// All of it: it says that it has a key of its own, and that is none.
    Key,
}

/// How the server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Connections are closed without an answer.
    Down,
    /// Logins are answered with 429.
    RateLimited,
    /// The API key is another now.
    RotatedKey,
    /// The account is no member of the organisation any more.
    Revoked,
    /// Everything but logins is answered with 401.
    Unauthorized,
    /// It says that nothing has changed since 1970.
    OldRevision,
    /// It has the collections and says that there is nothing in them.
    EmptyVault,
    /// The vault breaks off in the middle.
    CutShort,
}
