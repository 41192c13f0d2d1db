//! The front matter of a `SKILL.md`: what stands between its first two lines of `---`.
//!
//! It is YAML, of which people write a small part there: keys with a text. That part is read here,
//! strictly, so that nothing is read otherwise than an agent's own parser reads it: a text may be
//! plain, in single or double quotes, or a block after `|` or `>`. Everything else that a `name` or
//! `description` could be is a fault. Other keys belong to others and may be any YAML.

use std::fmt;

use colibri_protocol::nearest;

/// The keys that are read.
const READ: [&str; 2] = ["name", "description"];

/// Other keys that skills commonly have.
const COMMON: [&str; 4] = ["license", "compatibility", "metadata", "allowed-tools"];

/// What begins with one of these is no plain text in YAML, but a list, a map, an alias and so on.
const BEGINS_OTHERS: &str = "[]{}&*!%@`,?-|>'\"#";

/// What a skill says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) name: String,
    pub(crate) description: String,
    /// What is odd and does no harm.
    pub(crate) notes: Vec<Fault>,
}

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Counted from 1.
    line: usize,
    problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

fn fault(line: usize, problem: impl Into<String>) -> Fault {
    Fault {
        line,
        problem: problem.into(),
    }
}

/// Reads what stands at the beginning of a `SKILL.md`.
///
/// # Errors
/// The first fault.
pub(crate) fn parse(text: &str) -> Result<Front, Fault> {
    let fields = fields(text)?;
    let read = |key: &str| match fields.iter().find(|field| field.key == key) {
        Some(field) => field.text(),
        None => Err(fault(1, format!("the front matter has no `{key}:`"))),
    };
    Ok(Front {
        name: read(READ[0])?,
        description: read(READ[1])?,
        notes: fields.iter().filter_map(Field::misspelt).collect(),
    })
}

/// A key, and what belongs to it.
struct Field<'a> {
    line: usize,
    key: &'a str,
    /// What follows on the same line, trimmed.
    first: &'a str,
    /// The lines below it that are empty or begin with a space.
    rest: Vec<&'a str>,
}

/// All keys of the front matter.
fn fields(text: &str) -> Result<Vec<Field<'_>>, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().zip(1..);
    if lines
        .next()
        .is_none_or(|(line, _)| line.trim_end() != "---")
    {
        return Err(fault(
            1,
            "must be `---`: above a skill's text stand its `name:` and `description:`, between two \
             such lines",
        ));
    }
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut last = 1;
    for (line, number) in lines {
        last = number;
        if matches!(line.trim_end(), "---" | "...") {
            return Ok(fields);
        }
        // A line of a list may stand below its key without a space.
        let continues = line.trim().is_empty() || line.starts_with([' ', '\t', '-']);
        match fields.last_mut() {
            Some(field) if continues => field.rest.push(line),
            _ if line.trim().is_empty() || line.starts_with('#') => {}
            _ => {
                let field = Field::begin(line, number)?;
                if fields.iter().any(|other| other.key == field.key) {
                    return Err(fault(number, format!("`{}` stands there twice", field.key)));
                }
                fields.push(field);
            }
        }
    }
    Err(fault(last, "the front matter has no end, a line of `---`"))
}

impl<'a> Field<'a> {
    fn begin(line: &'a str, number: usize) -> Result<Self, Fault> {
        let is_key = |key: &str| {
            !key.is_empty()
                && key
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        match line.split_once(':') {
            Some((key, first))
                if is_key(key) && (first.is_empty() || first.starts_with([' ', '\t'])) =>
            {
                Ok(Self {
                    line: number,
                    key,
                    first: first.trim(),
                    rest: Vec::new(),
                })
            }
            _ => Err(fault(number, "must be a key, a colon, a space and a text")),
        }
    }

    /// The key's text.
    fn text(&self) -> Result<String, Fault> {
        let text = match self.first.chars().next() {
            Some('"') => self.in_double_quotes()?,
            Some('\'') => self.in_single_quotes()?,
            Some('|') => self.block()?.join("\n"),
            Some('>') => folded(&self.block()?),
            _ => self.plain()?,
        };
        if text.trim().is_empty() {
            return Err(self.wrong("is empty"));
        }
        Ok(text)
    }

    fn wrong(&self, problem: &str) -> Fault {
        fault(self.line, format!("`{}` {problem}", self.key))
    }

    /// Double quotes mean in YAML what they mean in JSON, and more that nobody needs.
    fn in_double_quotes(&self) -> Result<String, Fault> {
        let mut texts = serde_json::Deserializer::from_str(self.first).into_iter::<String>();
        match texts.next() {
            Some(Ok(text)) => self.alone(text, &self.first[texts.byte_offset()..]),
            _ => Err(self.wrong(
                "must end its double quotes on the same line; in them, `\\` stands before another \
                 `\\` or `\"`",
            )),
        }
    }

    /// In single quotes, two mean one.
    fn in_single_quotes(&self) -> Result<String, Fault> {
        let mut text = String::new();
        let mut rest = &self.first[1..];
        loop {
            let Some((before, after)) = rest.split_once('\'') else {
                return Err(self.wrong("must end its single quotes on the same line"));
            };
            text.push_str(before);
            match after.strip_prefix('\'') {
                Some(after) => {
                    text.push('\'');
                    rest = after;
                }
                None => return self.alone(text, after),
            }
        }
    }

    /// A text after which nothing stands but a comment.
    fn alone(&self, text: String, after: &str) -> Result<String, Fault> {
        let is_apart = after.is_empty() || after.starts_with([' ', '\t']);
        let continues = self.rest.iter().any(|line| !is_blank(line));
        if is_apart && is_blank(without_comment(after)) && !continues {
            Ok(text)
        } else {
            Err(self.wrong("has more behind its closing quote"))
        }
    }

    /// A text without quotes, over one line or several.
    fn plain(&self) -> Result<String, Fault> {
        let mut lines = vec![without_comment(self.first).trim()];
        for line in &self.rest {
            if line.trim_start().starts_with('#') {
                continue;
            }
            if line.starts_with('-') {
                return Err(self.wrong("must be a text and no list"));
            }
            lines.push(without_comment(line).trim());
        }
        let is_map = |line: &&str| line.contains(": ") || line.ends_with(':');
        if lines.iter().any(is_map) {
            return Err(self.wrong("has a colon in it, and needs quotes round it"));
        }
        let text = folded(&lines);
        if text.starts_with(|c: char| BEGINS_OTHERS.contains(c)) {
            return Err(self.wrong("must be a text; one that begins like this needs quotes"));
        }
        Ok(text)
    }

    /// The lines of a block, without what they are set in by.
    fn block(&self) -> Result<Vec<&'a str>, Fault> {
        if !matches!(without_comment(&self.first[1..]).trim(), "" | "-" | "+") {
            return Err(self.wrong("must have its text on the next lines"));
        }
        let first = self.rest.iter().find(|line| !is_blank(line));
        let Some(first) = first.filter(|line| line.starts_with(' ')) else {
            return Err(self.wrong("is empty; its text must be set in by spaces"));
        };
        let margin = &first[..first.len() - first.trim_start_matches(' ').len()];
        self.rest
            .iter()
            .map(|line| match line.strip_prefix(margin) {
                Some(line) => Ok(line.trim_end()),
                None if is_blank(line) => Ok(""),
                None => Err(self.wrong("must have all its lines set in as far as the first")),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(|mut lines| {
                while lines.last().is_some_and(|line| line.is_empty()) {
                    lines.pop();
                }
                lines
            })
    }

    /// A key that is nearly one of ours. What is quite different is another program's.
    fn misspelt(&self) -> Option<Fault> {
        let known = || READ.into_iter().chain(COMMON);
        if known().any(|known| known == self.key) {
            return None;
        }
        let meant = nearest(self.key, known())?;
        Some(fault(
            self.line,
            format!("`{}` is not known; did you mean `{meant}`?", self.key),
        ))
    }
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// The line up to a `#` that has a space, or nothing, before it.
fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| {
        line[..*at]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace)
    };
    line.match_indices('#')
        .find(begins)
        .map_or(line, |(at, _)| &line[..at])
}

/// Lines as one: a space between two, a new line where an empty one stands.
fn folded(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        if line.is_empty() {
            text.push('\n');
        } else {
            if !(text.is_empty() || text.ends_with('\n')) {
                text.push(' ');
            }
            text.push_str(line);
        }
    }
    text.trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn description(written: &str) -> Result<String, String> {
        let text = format!("---\nname: a\ndescription: {written}\nlicense: MIT\n---\n# A\n");
        parse(&text)
            .map(|front| front.description)
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_text_may_be_written_in_five_ways() {
        for (written, read) in [
            ("Reads secrets.", "Reads secrets."),
            ("Reads secrets # of the vault", "Reads secrets"),
            ("C# and F#", "C# and F#"),
            ("Reads\n  secrets\n  well", "Reads secrets well"),
            (r#""Use when: \"asked\"" # often"#, r#"Use when: "asked""#),
            ("'It''s: here'", "It's: here"),
            ("|\n  One\n    two\n\n  three\n", "One\n  two\n\nthree"),
            (">-\n  One\n  two\n\n  three\n", "One two\nthree"),
        ] {
            assert_eq!(description(written).as_deref(), Ok(read), "{written}");
        }
    }

    #[test]
    fn what_another_parser_would_read_otherwise_is_refused() {
        for (written, said) in [
            ("", "line 3: `description` is empty"),
            ("''", "line 3: `description` is empty"),
            ("Use when: asked", "line 3: `description` has a colon"),
            ("[a, b]", "line 3: `description` must be a text"),
            ("\n- a", "line 3: `description` must be a text and no list"),
            ("\n  - a", "line 3: `description` must be a text; one"),
            ("\n  'a'", "line 3: `description` must be a text; one"),
            ("\"a\" b", "line 3: `description` has more behind"),
            ("\"a", "line 3: `description` must end its double"),
            ("'a", "line 3: `description` must end its single"),
            ("| a", "line 3: `description` must have its text"),
            (
                "|\n  a\n b",
                "line 3: `description` must have all its lines",
            ),
            ("a\nname: b", "line 4: `name` stands there twice"),
            ("a\nb", "line 4: must be a key"),
        ] {
            let fault = description(written).unwrap_err();
            assert!(fault.starts_with(said), "{written}: {fault}");
        }
        let said = |text| parse(text).unwrap_err().to_string();
        assert!(said("# A\n").starts_with("line 1: must be `---`"));
        assert!(said("").starts_with("line 1: must be `---`"));
        assert!(said("---\nname: a\n").starts_with("line 2: the front matter has no end"));
        assert_eq!(
            said("---\nname: a\n---\n"),
            "line 1: the front matter has no `description:`"
        );
    }

    #[test]
    fn other_keys_may_be_any_yaml_and_a_slip_is_told() {
        let text = "\u{feff}---\r\nname: a\r\nmetadata:\r\n  owner: { team: b }\r\n\
                    allowed-tools:\r\n- Bash\r\ndescripton: x\r\ndescription: D\r\n---\r\n";
        let front = parse(text).unwrap();
        assert_eq!(
            (front.name.as_str(), front.description.as_str()),
            ("a", "D")
        );
        let notes: Vec<_> = front.notes.iter().map(ToString::to_string).collect();
        assert_eq!(
            notes,
            ["line 7: `descripton` is not known; did you mean `description`?"]
        );
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(text in "\\PC{0,30}[a-z]\\PC{0,30}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(description(&json), Ok(text.clone()));
            let single = format!("'{}'", text.replace('\'', "''"));
            prop_assert_eq!(description(&single), Ok(text));
        }

        #[test]
        fn a_block_is_read_back(lines in proptest::collection::vec("[a-z#:'\"]{1,9}( [a-z#:]{1,9}){0,3}", 1..6)) {
            let block = |mark: &str| format!("{mark}\n  {}", lines.join("\n  "));
            prop_assert_eq!(description(&block("|")), Ok(lines.join("\n")));
            prop_assert_eq!(description(&block(">")), Ok(lines.join(" ")));
        }

        #[test]
        fn no_text_is_too_much(text in "(---\n)?([-#:|>'\" a-z\\[\t]|name: |description: |\n|\r|\\PC){0,80}") {
            if let Err(fault) = parse(&text) {
                prop_assert!((1..=text.lines().count().max(1)).contains(&fault.line));
            }
        }
    }
}
