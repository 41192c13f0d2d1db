//! Lines: how requests and answers stand on the wire, and what a line must keep to.

use colibri_protocol::{TenantId, variable};
use serde::{Deserialize, Serialize};

use crate::{ErrorKind, ExecJail, HostError, MAX_LINE, Reply, Request};

/// What a request is answered with.
pub type Answer = Result<Reply, HostError>;

/// Most arguments of an agent, and most bytes of all of them and of its variables together.
const MAX_ARGS: usize = 64;
const MAX_BYTES: usize = 64 * 1024;

/// Longest name of a collection, in characters.
const MAX_COLLECTION: usize = 128;

/// Variables that an agent may be given besides those of [`variable`] and `COLIBRI_*`: how it speaks to people.
const HABITS: [&str; 4] = ["LANG", "LC_ALL", "TERM", "TZ"];

/// What stands before an answer.
#[derive(Serialize, Deserialize)]
struct Framed<T> {
    ok: bool,
    #[serde(flatten)]
    rest: T,
}

impl Request {
    /// The request as a line, with its newline.
    ///
    /// # Errors
    /// Its length, when it is longer than [`MAX_LINE`].
    pub fn to_line(&self) -> Result<Vec<u8>, usize> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        if line.len() > MAX_LINE {
            return Err(line.len());
        }
        line.push(b'\n');
        Ok(line)
    }

    /// Reads a line, and checks all that can be known without looking at the host.
    ///
    /// # Errors
    /// `bad-request` with the rule that was broken.
    pub fn from_line(line: &[u8]) -> Result<Self, HostError> {
        if line.len() > MAX_LINE {
            return Err(too_long());
        }
        let request: Self = serde_json::from_slice(line)
            .map_err(|error| bad(format!("this is no request: {error}")))?;
        request.check().map_err(bad)?;
        Ok(request)
    }

    /// The command's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateJail(_) => "create-jail",
            Self::StartJail(_) => "start-jail",
            Self::StopJail(_) => "stop-jail",
            Self::DestroyJail(_) => "destroy-jail",
            Self::ArchiveJail(_) => "archive-jail",
            Self::ListJails(_) => "list-jails",
            Self::ExecJail(_) => "exec-jail",
            Self::Provision(_) => "provision",
            Self::CheckVault(_) => "check-vault",
            Self::ListSecrets(_) => "list-secrets",
            Self::HostFacts(_) => "host-facts",
        }
    }

    /// The tenant that it is about.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::CreateJail(of) => Some(&of.tenant),
            Self::ExecJail(of) => Some(&of.tenant),
            Self::Provision(of) => Some(&of.tenant),
            Self::StartJail(of)
            | Self::StopJail(of)
            | Self::DestroyJail(of)
            | Self::ArchiveJail(of)
            | Self::ListSecrets(of) => Some(&of.tenant),
            Self::ListJails(_) | Self::CheckVault(_) | Self::HostFacts(_) => None,
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::CreateJail(of) => of.limits.check(),
            Self::ExecJail(of) => of.check(),
            Self::Provision(of) => {
                let chars = of.collection.chars().count();
                if !(1..=MAX_COLLECTION).contains(&chars)
                    || of.collection.chars().any(char::is_control)
                {
                    return Err(format!(
                        "`collection` has {chars} characters; it must have 1 to {MAX_COLLECTION}, none \
                         of them a control character"
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl ExecJail {
    /// Whether a variable of this name may go along: no provider's key, for those lie in the tenant's own
    /// `.env`, and nothing that says where programs lie.
    pub fn takes(name: &str) -> bool {
        let ours = name.strip_prefix("COLIBRI_").is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        });
        ours || HABITS.contains(&name)
            || (variable::handed_on().any(|known| known == name)
                && !variable::PROVIDER_KEYS.contains(&name))
    }

    fn check(&self) -> Result<(), String> {
        if self.args.len() > MAX_ARGS {
            return Err(format!(
                "`args` has {} arguments; at most {MAX_ARGS} are taken",
                self.args.len()
            ));
        }
        for (name, _) in &self.env {
            if !Self::takes(name) {
                let shown: String = name.chars().take(64).collect();
                return Err(format!(
                    "{shown:?} in `env` is no variable that an agent is given"
                ));
            }
        }
        let texts = || {
            let values = self.env.iter().map(|(_, value)| value);
            self.args.iter().chain(values)
        };
        if texts().any(|text| text.contains('\0')) {
            return Err("an argument or a variable has a NUL byte in it".to_owned());
        }
        let bytes: usize = texts().map(String::len).sum();
        if bytes > MAX_BYTES {
            return Err(format!(
                "`args` and `env` have {bytes} bytes; at most {MAX_BYTES} are taken"
            ));
        }
        Ok(())
    }
}

impl HostError {
    /// An error without a remedy.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: None,
        }
    }

    /// The same with what to do now.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl ErrorKind {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::TryAgain => "try-again",
            Self::Vault => "vault",
            Self::VaultNotConfigured => "vault-not-configured",
            Self::System => "system",
        }
    }
}

fn bad(message: String) -> HostError {
    HostError::new(ErrorKind::BadRequest, message)
}

/// For a line whose end did not come within [`MAX_LINE`].
pub fn too_long() -> HostError {
    bad(format!("a line is longer than {MAX_LINE} bytes"))
}

/// An answer as a line, with its newline.
pub fn answer_to_line(answer: &Answer) -> Vec<u8> {
    let line = match answer {
        Ok(rest) => serde_json::to_vec(&Framed { ok: true, rest }),
        Err(rest) => serde_json::to_vec(&Framed { ok: false, rest }),
    };
    // Neither has a key that is no text, so neither can fail.
    let mut line = line.unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads an answer.
///
/// # Errors
/// Why the line is none.
pub fn answer_from_line(line: &[u8]) -> Result<Answer, serde_json::Error> {
    #[derive(Deserialize)]
    struct Head {
        ok: bool,
    }
    let Head { ok } = serde_json::from_slice(line)?;
    if ok {
        let framed: Framed<Reply> = serde_json::from_slice(line)?;
        Ok(Ok(framed.rest))
    } else {
        let framed: Framed<HostError> = serde_json::from_slice(line)?;
        Ok(Err(framed.rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AgentExit, AgentProgram, HostFacts, JailInfo, JailRequest, Limits, NoFields, Provision,
        Provisioned, SecretNames, TenantRequest,
    };
    use colibri_protocol::TenantNumber;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn tenants() -> impl Strategy<Value = TenantId> {
        "[a-z][a-z0-9]{1,14}".prop_filter_map("reserved", |name| name.try_into().ok())
    }

    fn numbers() -> impl Strategy<Value = TenantNumber> {
        (1..=TenantNumber::MAX).prop_map(|number| number.try_into().unwrap())
    }

    fn limits() -> impl Strategy<Value = Limits> {
        (64u32..=1_048_576, 16u32..=32_768, 10u32..=25_600).prop_map(
            |(memory_mib, tasks, cpu_percent)| Limits {
                memory_mib,
                tasks,
                cpu_percent,
            },
        )
    }

    fn texts() -> impl Strategy<Value = String> {
        any::<String>().prop_map(|text| text.replace('\0', ""))
    }

    fn execs() -> impl Strategy<Value = Request> {
        let program = prop_oneof![
            Just(AgentProgram::Pi),
            Just(AgentProgram::Zot),
            Just(AgentProgram::TestAgent)
        ];
        let env = vec(("COLIBRI_[A-Z0-9_]{1,9}", texts()), 0..4);
        (tenants(), program, vec(texts(), 0..=MAX_ARGS), env).prop_map(
            |(tenant, program, args, env)| {
                Request::ExecJail(ExecJail {
                    tenant,
                    program,
                    args,
                    env,
                })
            },
        )
    }

    fn requests() -> impl Strategy<Value = Request> {
        let about: [fn(TenantRequest) -> Request; 5] = [
            Request::StartJail,
            Request::StopJail,
            Request::DestroyJail,
            Request::ArchiveJail,
            Request::ListSecrets,
        ];
        let plain: [fn(NoFields) -> Request; 3] =
            [Request::ListJails, Request::CheckVault, Request::HostFacts];
        prop_oneof![
            (tenants(), numbers(), limits()).prop_map(|(tenant, number, limits)| {
                Request::CreateJail(JailRequest {
                    tenant,
                    number,
                    limits,
                })
            }),
            (tenants(), "[a-zA-Z ß/]{1,128}", any::<bool>()).prop_map(
                |(tenant, collection, fresh)| {
                    Request::Provision(Provision {
                        tenant,
                        collection,
                        fresh,
                    })
                }
            ),
            (tenants(), proptest::sample::select(about.to_vec()))
                .prop_map(|(tenant, make)| make(TenantRequest { tenant })),
            proptest::sample::select(plain.to_vec()).prop_map(|make| make(NoFields {})),
            execs(),
        ]
    }

    fn replies() -> impl Strategy<Value = Reply> {
        let jail = || {
            (tenants(), numbers(), limits(), any::<(String, u32, bool)>()).prop_map(
                |(tenant, number, limits, (root, address, running))| JailInfo {
                    tenant,
                    number,
                    limits,
                    root,
                    address: address.into(),
                    running,
                },
            )
        };
        let names = || vec(any::<String>(), 0..4);
        prop_oneof![
            jail().prop_map(Reply::Jail),
            any::<Option<String>>().prop_map(|archive| Reply::Gone { archive }),
            vec(jail(), 0..3).prop_map(|jails| Reply::Jails { jails }),
            Just(Reply::Started),
            any::<u8>().prop_map(|status| Reply::Ended(AgentExit { status })),
            (any::<bool>(), names(), any::<String>()).prop_map(
                |(changed, names, collection_id)| Reply::Provisioned(Provisioned {
                    changed,
                    names,
                    collection_id
                })
            ),
            (any::<String>(), names()).prop_map(|(server, collections)| Reply::Vault {
                server,
                collections
            }),
            names().prop_map(|names| Reply::Secrets(SecretNames { names })),
            (any::<(String, String, bool)>(), any::<Option<String>>()).prop_map(
                |((os, release, vault), why)| Reply::Facts(HostFacts {
                    os,
                    release,
                    jails: why.map_or(Ok(()), Err),
                    vault
                })
            ),
        ]
    }

    fn errors() -> impl Strategy<Value = HostError> {
        let kinds = vec![
            ErrorKind::BadRequest,
            ErrorKind::Forbidden,
            ErrorKind::NotFound,
            ErrorKind::Conflict,
            ErrorKind::TryAgain,
            ErrorKind::Vault,
            ErrorKind::VaultNotConfigured,
            ErrorKind::System,
        ];
        (
            proptest::sample::select(kinds),
            any::<(String, Option<String>)>(),
        )
            .prop_map(|(kind, (message, remedy))| HostError {
                kind,
                message,
                remedy,
            })
    }

    proptest! {
        #[test]
        fn requests_come_back_as_they_went(request in requests()) {
            // Characters that JSON writes with six bytes can make one too long to send at all.
            if let Ok(line) = request.to_line() {
                prop_assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
                let read = Request::from_line(&line[..line.len() - 1]);
                let fits = request.check().is_ok();
                prop_assert_eq!(read.is_ok(), fits);
                if fits {
                    prop_assert_eq!(read.unwrap(), request.clone());
                    let words: serde_json::Value = serde_json::from_slice(&line).unwrap();
                    prop_assert_eq!(&words["cmd"], request.name());
                    prop_assert_eq!(words["tenant"].as_str(), request.tenant().map(TenantId::as_str));
                }
            }
        }

        #[test]
        fn answers_come_back_as_they_went(
            answer in prop_oneof![replies().prop_map(Ok), errors().prop_map(Err)],
        ) {
            let line = answer_to_line(&answer);
            prop_assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
            let words: serde_json::Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(&words["ok"], answer.is_ok());
            if let Err(error) = &answer {
                prop_assert_eq!(&words["kind"], error.kind.as_str());
            }
            prop_assert_eq!(answer_from_line(&line).unwrap(), answer);
        }

        #[test]
        fn no_bytes_break_the_readers(bytes in vec(any::<u8>(), 0..200)) {
            let _ = (Request::from_line(&bytes), answer_from_line(&bytes));
        }
    }

    fn refused(line: &str) -> String {
        let error = Request::from_line(line.as_bytes()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadRequest, "{error}");
        error.message
    }

    #[test]
    fn nothing_but_what_is_asked_for_is_taken() {
        for line in [
            "",
            "[]",
            r#"{"cmd":"reboot"}"#,
            r#"{"cmd":"start-jail"}"#,
            r#"{"cmd":"start-jail","tenant":"../etc"}"#,
            r#"{"cmd":"start-jail","tenant":"main","path":"/"}"#,
            r#"{"cmd":"list-jails","tenant":"main"}"#,
            r#"{"cmd":"create-jail","tenant":"main","number":0}"#,
            r#"{"cmd":"create-jail","tenant":"main","number":1,"limits":{"memory":1}}"#,
            r#"{"cmd":"exec-jail","tenant":"main","program":"/bin/sh"}"#,
        ] {
            refused(line);
        }
        let small = r#"{"cmd":"create-jail","tenant":"main","number":1,"limits":{"tasks":1}}"#;
        assert!(refused(small).contains("it must be 16 to 32768"));
        for collection in ["", "a\\nb", &"x".repeat(129)] {
            let line =
                format!(r#"{{"cmd":"provision","tenant":"main","collection":"{collection}"}}"#);
            assert!(refused(&line).contains("1 to 128"));
        }
    }

    #[test]
    fn secrets_are_asked_anew_only_where_that_is_said() {
        for (said, fresh) in [("", false), (r#","fresh":true"#, true)] {
            let line = r#"{"cmd":"provision","tenant":"main","collection":"a""#;
            let read = Request::from_line(format!("{line}{said}}}").as_bytes()).unwrap();
            assert!(matches!(read, Request::Provision(of) if of.fresh == fresh));
        }
        refused(r#"{"cmd":"provision","tenant":"main","collection":"a","fresh":1}"#);
    }

    #[test]
    fn an_agent_gets_no_key_and_no_path_from_here() {
        for name in [
            "TZ",
            "PI_MODEL",
            "COLIBRI_DAEMON_SOCKET",
            "AGENT_COMPACTION_MODEL",
        ] {
            assert!(ExecJail::takes(name), "{name}");
        }
        for name in [
            "DEEPSEEK_API_KEY",
            "PATH",
            "HOME",
            "LD_PRELOAD",
            "COLIBRI_",
            "COLIBRI_a=b",
            "",
        ] {
            assert!(!ExecJail::takes(name), "{name}");
            let line = serde_json::json!({"cmd": "exec-jail", "tenant": "main", "program": "pi",
                "env": [[name, "x"]]});
            assert!(refused(&line.to_string()).contains("`env`"), "{name}");
        }
        let exec = |args: Vec<String>| {
            let line = serde_json::json!({"cmd": "exec-jail", "tenant": "main", "program": "pi",
                "args": args});
            Request::from_line(line.to_string().as_bytes())
        };
        assert!(exec(vec!["x".repeat(MAX_BYTES)]).is_ok());
        assert!(exec(vec!["x".repeat(MAX_BYTES + 1)]).is_err());
        assert!(exec(vec![String::new(); MAX_ARGS]).is_ok());
        assert!(exec(vec![String::new(); MAX_ARGS + 1]).is_err());
        assert!(exec(vec!["a\0b".to_owned()]).is_err());
    }

    #[test]
    fn the_wire_is_what_the_first_page_says() {
        let error =
            HostError::new(ErrorKind::VaultNotConfigured, "no vault").with_remedy("set one");
        let line = answer_to_line(&Err(error));
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"ok\":false,\"kind\":\"vault-not-configured\",\"message\":\"no vault\",\
             \"remedy\":\"set one\"}\n"
        );
        let line = answer_to_line(&Ok(Reply::Ended(AgentExit { status: 143 })));
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"ok\":true,\"reply\":\"ended\",\"status\":143}\n"
        );
        assert!(answer_from_line(b"{\"reply\":\"started\"}").is_err());
        assert!(answer_from_line(b"{\"ok\":true,\"message\":\"x\"}").is_err());
    }
}
