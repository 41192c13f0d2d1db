//! Lists in pages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ErrorKind, ReplyError};

/// Entries on a page when the request does not say.
pub(crate) const DEFAULT_LIMIT: u32 = 50;

/// Most entries on a page.
pub(crate) const MAX_LIMIT: u32 = 500;

/// The fields of `list-agents`, `list-skills`, `list-jobs` and `list-tenants`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// Most entries on this page, 1 to 500; 50 when absent. A page may be shorter so that its line
    /// stays below the limit; `next` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u32>,
    /// The `next` of the page before; absent for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The page's length.
///
/// # Errors
/// `bad-request` when it is 0 or above 500.
pub fn checked_limit(limit: Option<u32>) -> Result<u32, ReplyError> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        limit => Err(ReplyError::new(
            ErrorKind::BadRequest,
            format!("`limit` is {limit}; it must be between 1 and {MAX_LIMIT}"),
        )),
    }
}
