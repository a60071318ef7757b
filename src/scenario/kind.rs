//! What a key of a scenario file is: its name, what it takes, and whether it must be there.

/// A table of the file.
#[derive(Debug)]
pub(super) struct Section {
    /// What it is, for messages: `a cohort`.
    pub(super) is: &'static str,
    pub(super) keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) need: Need,
    /// What it means: the text of the JSON Schema.
    pub(super) about: &'static str,
}

/// Whether a key must be there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    Required,
    Optional,
    /// Its value when it is not there, as TOML.
    Default(&'static str),
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Any text that is not empty.
    Text,
    /// A name of letters, digits, `-`, `_` and `.`.
    Name,
    /// The URL of a server.
    Url,
    /// A path, relative to the scenario file.
    Path,
    /// An IP address and a port.
    Address,
    /// True or false.
    Flag,
    /// A whole number of 1 or more.
    Count,
    /// A whole number of 0 or more.
    Seed,
    /// A number above 0.
    Factor,
    /// A number from 0 to 1, or a percentage.
    Share,
    /// A length of time.
    Duration,
    /// A distribution of lengths of time.
    Dist,
    /// A number per unit of time.
    Rate,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// The name of an environment variable that holds a secret.
    Secret,
    /// A limit: a length of time, a number or a percentage.
    Limit,
    /// Names of MDM request types.
    Requests,
    /// A known MDM request type.
    Request,
    /// Names and values of HTTP headers.
    Headers,
    /// A dictionary that goes into a command.
    Dictionary,
    /// Distributions by request type.
    ReplyTimes,
    /// A table.
    Table(&'static Section),
    /// A table, or one word instead of it.
    TableOr(&'static Section, &'static str),
    /// A table with exactly one of its keys.
    Variant(&'static Section),
    /// Many tables.
    Tables(&'static Section),
    /// One table or many.
    TableOrTables(&'static Section),
}

/// What lies below a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Nothing: it is a value.
    Leaf,
    /// A table whose keys the user chooses.
    Map,
    /// A table of known keys.
    Table(&'static Section),
    /// Such a table, or a word.
    TableOrWord(&'static Section),
    /// Many such tables.
    Tables(&'static Section),
}

impl Section {
    /// The key called `name`.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names of all keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

impl Kind {
    /// What lies below the key.
    pub(super) const fn shape(self) -> Shape {
        match self {
            Self::Table(section) | Self::Variant(section) => Shape::Table(section),
            Self::TableOr(section, _) => Shape::TableOrWord(section),
            Self::Tables(section) | Self::TableOrTables(section) => Shape::Tables(section),
            Self::Headers | Self::Dictionary | Self::ReplyTimes | Self::Secret => Shape::Map,
            Self::Text
            | Self::Name
            | Self::Url
            | Self::Path
            | Self::Address
            | Self::Flag
            | Self::Count
            | Self::Seed
            | Self::Factor
            | Self::Share
            | Self::Duration
            | Self::Dist
            | Self::Rate
            | Self::Choice(_)
            | Self::Limit
            | Self::Requests
            | Self::Request => Shape::Leaf,
        }
    }

    /// The section behind the key, if it is a table or several.
    pub(super) const fn section(self) -> Option<&'static Section> {
        match self.shape() {
            Shape::Table(section) | Shape::TableOrWord(section) | Shape::Tables(section) => {
                Some(section)
            }
            Shape::Map | Shape::Leaf => None,
        }
    }

    /// What would be right, with an example.
    pub(super) fn right(self) -> String {
        match self {
            Self::Text => "a text in quotes".into(),
            Self::Name => "a name of letters, digits, \"-\", \"_\" and \".\"".into(),
            Self::Url => "a URL, as \"https://mdm.example.com\" or \"http://127.0.0.1:9000\"".into(),
            Self::Path => "a path in quotes, relative to this file".into(),
            Self::Address => "an address and a port, as \"127.0.0.1:2197\"".into(),
            Self::Flag => "true or false".into(),
            Self::Count => "a whole number, 1 or more".into(),
            Self::Seed => "a whole number, 0 or more".into(),
            Self::Factor => "a number above 0".into(),
            Self::Share => "a number from 0 to 1, as 0.05 or \"5%\"".into(),
            Self::Duration => "a length of time, as \"250ms\", \"30s\", \"5m\" or \"1h30m\"".into(),
            Self::Dist => "as \"5s\", \"3m..15m\", { lognormal = { median = \"20m\", p95 = \"2h\" } } or { exponential = { mean = \"5m\" } }".into(),
            Self::Rate => "a number per unit of time, as \"50/s\", \"10/m\" or \"3/h\"".into(),
            Self::Choice(words) => format!("one of \"{}\"", words.join("\", \"")),
            Self::Secret => "the name of an environment variable, as { env = \"NANOMDM_API_KEY\" }".into(),
            Self::Limit => "a length of time as \"30s\", a number, or a percentage as \"1%\"".into(),
            Self::Requests => "a list of request types, as [\"InstallProfile\"]".into(),
            Self::Request => "a request type, as \"DeviceInformation\"".into(),
            Self::Headers => "a table of texts, as { X-Tenant = \"school\" }".into(),
            Self::Dictionary => "a table, as { Identifier = \"com.example.app\" }".into(),
            Self::ReplyTimes => "a table, as { usual = \"50ms..200ms\", InstallProfile = \"1s\" }".into(),
            Self::Table(section) | Self::Variant(section) => format!("a table with {}", listed(section)),
            Self::TableOr(section, word) => format!("\"{word}\", or a table with {}", listed(section)),
            Self::Tables(section) => format!("tables with {}", listed(section)),
            Self::TableOrTables(section) => format!("one or more tables with {}", listed(section)),
        }
    }
}

fn listed(section: &Section) -> String {
    if section.keys.is_empty() {
        return "no keys".to_owned();
    }
    section.names().collect::<Vec<_>>().join(", ")
}
