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
    /// How many times faster.
    Factor,
    /// A number from 0 to 1, or a percentage.
    Share,
    /// A length of time.
    Duration,
    /// A distribution of lengths of time.
    Dist,
    /// A distribution of lengths of time, or one word instead of it.
    DistOr(&'static str),
    /// A length of time, or one word instead of it.
    DurationOr(&'static str),
    /// A length of time with its sign.
    Offset,
    /// A day of the week and a time of day.
    WeekTime,
    /// Stretches of a day.
    Windows,
    /// Days of the week.
    Days,
    /// A whole number from the first to the second.
    Between(u32, u32),
    /// A whole number of either sign.
    Integer,
    /// A number of either sign.
    Real,
    /// How many of something: a range of counts or of percentages.
    HowMany,
    /// A number per unit of time.
    Rate,
    /// So many in a span of time.
    PushRate,
    /// Hosts with their ports.
    Hosts,
    /// Texts that are not empty.
    Texts,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// One of the timeline's events.
    Event,
    /// Some of a few words.
    Words(&'static [&'static str]),
    /// A way to break the protocol.
    Misbehaviour,
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
    /// Beginnings of URLs, and what takes their place.
    Rewrites,
    /// A dictionary that goes into a command.
    Dictionary,
    /// Distributions by request type.
    ReplyTimes,
    /// A table.
    Table(&'static Section),
    /// A table, or one of a few words instead of it.
    TableOr(&'static Section, &'static [&'static str]),
    /// A share, or a table that says when.
    ShareOr(&'static Section),
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
            Self::TableOr(section, _) | Self::ShareOr(section) => Shape::TableOrWord(section),
            Self::Tables(section) | Self::TableOrTables(section) => Shape::Tables(section),
            Self::Headers | Self::Rewrites | Self::Dictionary | Self::ReplyTimes | Self::Secret => {
                Shape::Map
            }
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
            | Self::DistOr(_)
            | Self::DurationOr(_)
            | Self::Offset
            | Self::WeekTime
            | Self::Windows
            | Self::Days
            | Self::Between(..)
            | Self::Integer
            | Self::Real
            | Self::HowMany
            | Self::Rate
            | Self::PushRate
            | Self::Hosts
            | Self::Texts
            | Self::Choice(_)
            | Self::Event
            | Self::Words(_)
            | Self::Misbehaviour
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
            Self::Factor => "a number from 0.001 to 1000000".into(),
            Self::Share => "a number from 0 to 1, as 0.05 or \"5%\"".into(),
            Self::Duration => "a length of time, as \"250ms\", \"30s\", \"5m\" or \"1h30m\"".into(),
            Self::Dist => "as \"5s\", \"3m..15m\", { lognormal = { median = \"20m\", p95 = \"2h\" } } or { exponential = { mean = \"5m\" } }".into(),
            Self::DistOr(word) => format!("\"{word}\", or {}", Self::Dist.right()),
            Self::DurationOr(word) => format!("\"{word}\", or {}", Self::Duration.right()),
            Self::Offset => "a length of time with its sign, as \"+2h\" or \"-11m\"".into(),
            Self::WeekTime => "a day and a time, as \"mon 07:30\"".into(),
            Self::Windows => "a list of times of day, as [\"08:00..12:00\", \"22:00..07:00\"]".into(),
            Self::Days => "\"weekdays\", \"weekend\", or a list as [\"mon\", \"wed\"]".into(),
            Self::Between(least, most) => format!("a whole number from {least} to {most}"),
            Self::Integer => "a whole number".into(),
            Self::Real => "a number from -100000 to 100000".into(),
            Self::HowMany => "a count as 40, a range as \"40..60\", or of all orders \"100%\" or \"10%..20%\"".into(),
            Self::Rate => "a number per unit of time, as \"50/s\", \"10/m\" or \"3/h\"".into(),
            Self::PushRate => "so many in a length of time, as \"5 per 1m\"".into(),
            Self::Hosts => "a list of hosts with their ports, as [\"mdm.example.com:443\"]".into(),
            Self::Texts => "a list of texts in quotes".into(),
            Self::Choice(words) => format!("one of \"{}\"", words.join("\", \"")),
            Self::Event => "one of the events of docs/scenarios.md, as \"wake\"".into(),
            Self::Words(words) => format!("a list of \"{}\"", words.join("\", \"")),
            Self::Misbehaviour => format!("\"{}\", or {{ late = \"10s\" }}", MISBEHAVIOURS.join("\", \"")),
            Self::Secret => "the name of an environment variable, as { env = \"NANOMDM_API_KEY\" }".into(),
            Self::Limit => "a length of time as \"30s\", a number, or a percentage as \"1%\"".into(),
            Self::Requests => "a list of request types, as [\"InstallProfile\"]".into(),
            Self::Request => "a request type, as \"DeviceInformation\"".into(),
            Self::Headers => "a table of texts, as { X-Tenant = \"school\" }".into(),
            Self::Rewrites => "a table of URLs, as { \"https://mdm.example.com\" = \"http://127.0.0.1:9000\" }".into(),
            Self::Dictionary => "a table, as { Identifier = \"com.example.app\" }".into(),
            Self::ReplyTimes => "a table, as { usual = \"50ms..200ms\", InstallProfile = \"1s\" }".into(),
            Self::Table(section) | Self::Variant(section) => format!("a table with {}", listed(section)),
            Self::TableOr(section, words) => {
                format!("\"{}\", or a table with {}", words.join("\", \""), listed(section))
            }
            Self::ShareOr(section) => {
                format!("a share as 0.05 or \"5%\", or a table with {}", listed(section))
            }
            Self::Tables(section) => format!("tables with {}", listed(section)),
            Self::TableOrTables(section) => format!("one or more tables with {}", listed(section)),
        }
    }
}

/// The ways to break the protocol that a word says.
pub(super) const MISBEHAVIOURS: [&str; 6] = [
    "duplicate",
    "unknown-command",
    "never",
    "truncated",
    "wrong-types",
    "drops",
];

fn listed(section: &Section) -> String {
    if section.keys.is_empty() {
        return "no keys".to_owned();
    }
    section.names().collect::<Vec<_>>().join(", ")
}
