//! Who may log in: SSH keys, passwords, e-mail addresses.

use ssh_key::authorized_keys::Entry;
use ssh_key::public::KeyData;

use super::{Outcome, RuleError};

const MAKE_ONE: &str =
    "Make a key with `ssh-keygen -t ed25519` and paste the one line of the file that ends in .pub.";

/// Whether a text starts like an OpenSSH public key line.
pub fn starts_like_public_key(value: &str) -> bool {
    let word = value.split_whitespace().next().unwrap_or_default();
    let kind = word.starts_with("ssh-")
        || word.starts_with("ecdsa-sha2-")
        || word.starts_with("sk-ssh-")
        || word.starts_with("sk-ecdsa-");
    // The body of every key starts with the length of its type, which is AAAA in base64.
    kind && value
        .split_whitespace()
        .nth(1)
        .is_some_and(|body| body.starts_with("AAAA"))
}

/// Whether a text starts a private key, of any program.
pub fn starts_private_key(text: &str) -> bool {
    (text.contains("-----BEGIN ") && text.contains("PRIVATE KEY"))
        || text.contains("PuTTY-User-Key-File-")
        || text.contains("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY")
}

/// Checks an SSH public key line and gives it back in OpenSSH's own form, options and comment kept.
///
/// # Errors
/// When it is a private key, damaged, of another program's format, or too weak to be accepted by sshd.
pub fn ssh_public_key(value: &str) -> Result<String, RuleError> {
    if starts_private_key(value) {
        return Err(RuleError::new("private-key", "holds a PRIVATE key")
            .remedy("Treat that key as no longer secret: make a new one, and paste only the file that ends in .pub."));
    }
    if value.contains("BEGIN SSH2 PUBLIC KEY") {
        return Err(
            RuleError::new("ssh-key", "holds a key in another program's format").remedy(
                "In PuTTYgen, copy the text of the box \"Public key for pasting into OpenSSH\".",
            ),
        );
    }
    let entry: Entry = value.parse().map_err(|_| {
        let error = RuleError::new("ssh-key", "is not a whole SSH public key");
        if starts_like_public_key(value) {
            error.remedy("The key is damaged, most often cut short or broken into two lines. Paste the whole of the .pub file again, on one line.")
        } else {
            error.remedy(MAKE_ONE)
        }
    })?;
    let key = entry.public_key();
    let weak = match key.key_data() {
        KeyData::Dsa(_) => Some("is a DSA key, which sshd no longer accepts"),
        KeyData::Rsa(rsa) if rsa.n.as_positive_bytes().is_none_or(|n| n.len() < 256) => {
            Some("is an RSA key of less than 2048 bits, which is too weak")
        }
        KeyData::Other(_) => Some("is a key of a type this system does not know"),
        _ => None,
    };
    if let Some(fault) = weak {
        return Err(RuleError::new("ssh-key", fault).remedy(MAKE_ONE));
    }
    let line = key.to_openssh().map_err(|_| {
        RuleError::new("ssh-key", "cannot be written as an OpenSSH key").remedy(MAKE_ONE)
    })?;
    let line = line.trim();
    Ok(match entry.config_opts().to_string() {
        options if options.is_empty() => line.to_owned(),
        options => format!("{options} {line}"),
    })
}

/// A password for the console: it must be typable on any keyboard.
pub fn console_password(value: &str) -> Outcome {
    password(value)?;
    match value.chars().position(|c| !(' '..='~').contains(&c)) {
        Some(at) => Err(RuleError::new(
            "characters",
            "has a character in it that not every console keyboard can type",
        )
        .at(at..at + 1)),
        None => Ok(()),
    }
}

/// A password.
pub fn password(value: &str) -> Outcome {
    match value.chars().count() {
        8..=128 => Ok(()),
        count if count < 8 => Err(RuleError::new("length", "is shorter than 8 characters")
            .remedy("Choose a longer one; a few unrelated words make a good password.")),
        _ => Err(RuleError::new("length", "is longer than 128 characters")),
    }
}

/// An e-mail address; only what a mistake would break is checked.
pub fn email(value: &str) -> Outcome {
    let error = || RuleError::new("email", "is not an e-mail address");
    let (name, domain) = value.rsplit_once('@').ok_or_else(error)?;
    let plain = |c: char| c.is_ascii_graphic() && !"<>()[],;:\"\\@".contains(c);
    let labels = domain.split('.').collect::<Vec<_>>();
    let label = |label: &&str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let good = !name.is_empty()
        && name.len() <= 64
        && name.chars().all(plain)
        && labels.len() >= 2
        && labels.iter().all(label);
    if good { Ok(()) } else { Err(error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn public_keys_are_taken_and_normalised() {
        assert_eq!(ssh_public_key(ED25519).expect("good"), ED25519);
        let with_comment = format!("{ED25519} ada@laptop");
        assert_eq!(ssh_public_key(&with_comment).expect("good"), with_comment);
        let with_options = format!("no-pty,from=\"10.0.0.0/8\" {ED25519} ada");
        assert_eq!(ssh_public_key(&with_options).expect("good"), with_options);
        assert!(starts_like_public_key(ED25519));
    }

    #[test]
    fn damaged_and_private_keys_are_not() {
        assert_eq!(
            ssh_public_key(&ED25519[..60]).expect_err("cut").code,
            "ssh-key"
        );
        assert_eq!(
            ssh_public_key("ada@laptop").expect_err("no key").code,
            "ssh-key"
        );
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----";
        assert_eq!(
            ssh_public_key(private).expect_err("private").code,
            "private-key"
        );
    }

    #[test]
    fn passwords_and_addresses() {
        assert!(console_password("eight ch").is_ok());
        assert!(console_password("short").is_err());
        assert!(console_password("pässwörter").is_err());
        assert!(password("pässwörter").is_ok());
        assert!(email("ada@example.org").is_ok());
        for bad in [
            "ada",
            "ada@",
            "@example.org",
            "ada@localhost",
            "a da@example.org",
            "a@b..c",
        ] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }
}
