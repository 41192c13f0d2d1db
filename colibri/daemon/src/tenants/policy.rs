//! Whether agents may ask for further tenants, as a file of the host's operator says.

use std::io;
use std::path::Path;

use colibri_protocol::{ErrorKind, RegisterTenant, ReplyError, RequestTenant, Tenant, TimeSpan};
use colibri_store::Quota;
use serde::Deserialize;

/// The file `replication.toml`. Every number must be there when it is enabled: a limit that nobody chose is
/// none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    #[serde(default)]
    enabled: bool,
    max_tenants: Option<u32>,
    max_depth: Option<u32>,
    max_children: Option<u32>,
    max_ttl: Option<TimeSpan>,
    /// The one collection from which born tenants get secrets. They choose none themselves: by its name
    /// they could choose another tenant's.
    collection: Option<String>,
}

/// What an enabled policy allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) quota: Quota,
    max_ttl: TimeSpan,
    collection: Option<String>,
}

impl Policy {
    /// Reads the file. One that is not there allows nothing.
    ///
    /// # Errors
    /// `forbidden`: an unreadable policy allows nothing either; the text says why it is one.
    pub(crate) fn read(path: &Path) -> Result<Self, ReplyError> {
        let unreadable = |problem: String| {
            tracing::error!("{}: {problem}", path.display());
            let text = "no tenant can be asked for: the host's policy cannot be read; the daemon's log \
                        has the reason";
            ReplyError::new(ErrorKind::Forbidden, text)
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        toml::from_str(&text).map_err(|error| unreadable(error.to_string()))
    }

    /// What it allows.
    ///
    /// # Errors
    /// `forbidden`, when it allows nothing, or does not say how much.
    pub(crate) fn allowed(self) -> Result<Allowed, ReplyError> {
        let refuse = |text: String| ReplyError::new(ErrorKind::Forbidden, text);
        if !self.enabled {
            let text =
                "no tenant can be asked for: the host's policy does not have `enabled = true`";
            return Err(refuse(text.to_owned()));
        }
        let lacks = |name: &str| {
            refuse(format!(
                "no tenant can be asked for: the host's policy does not say `{name}`"
            ))
        };
        if let Some(name) = &self.collection {
            colibri_protocol::check_collection(name)
                .map_err(|problem| refuse(format!("the host's policy: {problem}")))?;
        }
        Ok(Allowed {
            quota: Quota {
                max_tenants: self.max_tenants.ok_or_else(|| lacks("max_tenants"))?,
                max_depth: self.max_depth.ok_or_else(|| lacks("max_depth"))?,
                max_children: self.max_children.ok_or_else(|| lacks("max_children"))?,
            },
            max_ttl: self.max_ttl.ok_or_else(|| lacks("max_ttl"))?,
            collection: self.collection,
        })
    }
}

impl Allowed {
    /// The tenant that is born: no better off than its parent.
    ///
    /// # Errors
    /// `forbidden`, when it is to live longer than the policy allows.
    pub(crate) fn birth(
        &self,
        wish: &RequestTenant,
        parent: &Tenant,
    ) -> Result<RegisterTenant, ReplyError> {
        let ttl = wish.ttl.unwrap_or(self.max_ttl);
        if ttl > self.max_ttl {
            let text = format!(
                "the policy's `max_ttl` is {}, and {ttl} was asked for",
                self.max_ttl
            );
            return Err(ReplyError::new(ErrorKind::Forbidden, text));
        }
        Ok(RegisterTenant {
            tenant_id: wish.tenant_id.clone(),
            collection: self.collection.clone(),
            no_collection: self.collection.is_none(),
            limits: Some(parent.limits),
            ttl: Some(ttl),
            idle_after: parent.idle_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "enabled = true\nmax_tenants = 5\nmax_depth = 1\nmax_children = 2\n\
                         max_ttl = \"1d\"\n";

    fn read(text: &str) -> Result<Allowed, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replication.toml");
        std::fs::write(&path, text).unwrap();
        let read = Policy::read(&path).and_then(Policy::allowed);
        read.map_err(|error| {
            assert_eq!(error.kind, ErrorKind::Forbidden);
            error.message
        })
    }

    #[test]
    fn nothing_is_allowed_unless_it_says_how_much() {
        let missing = Policy::read(Path::new("/nowhere/replication.toml")).unwrap();
        assert_eq!(missing, Policy::default());
        for (text, says) in [
            ("", "`enabled = true`"),
            ("enabled = false\nmax_tenants = 5", "`enabled = true`"),
            ("enabled = true", "`max_tenants`"),
            ("enabled = true\nmax_tenant = 5", "cannot be read"),
            ("enabled = \"yes\"", "cannot be read"),
            (&WHOLE.replace("max_ttl = \"1d\"\n", ""), "`max_ttl`"),
            (&WHOLE.replace("1d", "1 day"), "cannot be read"),
            (
                &WHOLE.replace("max_depth = 1", "max_depth = -1"),
                "cannot be read",
            ),
            (&format!("{WHOLE}collection = \"\""), "1 to 128"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        let allowed = read(WHOLE).unwrap();
        assert_eq!(
            (allowed.quota.max_tenants, allowed.quota.max_children),
            (5, 2)
        );
    }

    #[test]
    fn who_is_born_is_no_better_off_and_does_not_live_longer_than_allowed() {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let parent: Tenant = serde_json::from_value(serde_json::json!({
            "tenant_id": "main", "number": 1, "jail": "main", "status": "active",
            "limits": {"memory_mib": 256, "tasks": 64, "cpu_percent": 50}, "created_by": "uid:0",
            "created_at": at, "idle_after": "30m", "last_active": at,
        }))
        .unwrap();
        let wish = |ttl: Option<&str>| RequestTenant {
            tenant_id: "nika".parse().unwrap(),
            ttl: ttl.map(|ttl| ttl.parse().unwrap()),
        };
        let allowed = read(WHOLE).unwrap();
        let born = allowed.birth(&wish(None), &parent).unwrap();
        assert_eq!(
            (born.limits, born.idle_after),
            (Some(parent.limits), parent.idle_after)
        );
        assert_eq!((born.ttl, born.no_collection), ("1d".parse().ok(), true));
        let short = allowed.birth(&wish(Some("2h")), &parent).unwrap();
        assert_eq!(short.ttl, "2h".parse().ok());
        let error = allowed.birth(&wish(Some("25h")), &parent).unwrap_err();
        assert!(error.message.contains("`max_ttl` is 1d"), "{error}");
        let shared = read(&format!("{WHOLE}collection = \"shared\"")).unwrap();
        let born = shared.birth(&wish(None), &parent).unwrap();
        assert_eq!(
            (born.collection.as_deref(), born.no_collection),
            (Some("shared"), false)
        );
    }
}
