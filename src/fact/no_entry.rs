//! Why a provider did not get in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why the gateway did not let a provider in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoEntry {
    /// Its certificate is not taken; why, as a lower-case fragment.
    Certificate(String),
    /// The scenario has CONNECT to the push service refused.
    Connect,
    /// The service is out.
    Service,
    /// It wanted something else than the push service, as a CONNECT to another host; what, as a
    /// lower-case fragment. Nothing is wrong with pushes for that.
    Stray(String),
}

impl fmt::Display for NoEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(why) | Self::Stray(why) => f.write_str(why),
            Self::Connect => f.write_str("a CONNECT to the push service was refused"),
            Self::Service => f.write_str("the service is out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_it_as_a_word_or_a_word_and_a_text() {
        let written = |why| serde_json::to_string(&why).unwrap();
        let expired = NoEntry::Certificate("it has expired".to_owned());
        assert_eq!(
            written(expired.clone()),
            r#"{"certificate":"it has expired"}"#
        );
        assert_eq!(written(NoEntry::Connect), r#""connect""#);
        assert_eq!(written(NoEntry::Service), r#""service""#);
        let text = expired.to_string();
        assert_eq!(text, "it has expired");
    }
}
