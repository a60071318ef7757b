//! Who a provider is: the certificate it showed, the name it came by, the bearer token it is known by.
//!
//! One [`Provider`] stands for one connection. With a certificate, bearer tokens are not looked at
//! (Apple: `authorization` is ignored with certificate authentication).

use super::bearer::{Bearer, Keys};
use crate::protocol::push::Reason;
use crate::time::WallTime;

/// What every topic of a push certificate for MDM begins with (Apple, "Setting up push notifications
/// for your device management customers").
const MDM_TOPIC: &str = "com.apple.mgmt";

/// Which of Apple's two services a provider came to, by the host name it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// `api.push.apple.com`, and every name that is not the sandbox's.
    Production,
    /// `api.sandbox.push.apple.com` or `api.development.push.apple.com`.
    Sandbox,
}

/// What a provider's certificate says, once TLS has taken it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Certificate {
    /// The topics it is for; for MDM one, the UID of its subject.
    pub topics: Vec<String>,
    /// Whether it is marked for the sandbox (extension 1.2.840.113635.100.6.3.1).
    pub development: bool,
    /// Whether it is marked for production (extension 1.2.840.113635.100.6.3.2).
    pub production: bool,
}

/// A provider on one connection.
#[derive(Debug)]
pub struct Provider {
    credential: Credential,
    environment: Environment,
}

/// What a provider is let in by.
#[derive(Debug)]
enum Credential {
    /// A certificate that is good for these topics, of which there is at least one.
    Topics(Vec<String>),
    /// A certificate that TLS took but APNs does not.
    Refused(Reason),
    /// No certificate: bearer tokens.
    Bearer(Bearer),
}

impl Provider {
    /// A provider that has connected and has not sent anything.
    pub fn new(certificate: Option<Certificate>, environment: Environment) -> Self {
        let credential = match certificate {
            None => Credential::Bearer(Bearer::default()),
            Some(certificate) => match certificate.check(environment) {
                Ok(()) => Credential::Topics(certificate.topics),
                Err(reason) => Credential::Refused(reason),
            },
        };
        Self {
            credential,
            environment,
        }
    }

    /// Whether it has shown who it is: by its certificate, or by a bearer token that was good.
    pub const fn is_known(&self) -> bool {
        match &self.credential {
            Credential::Topics(_) | Credential::Refused(_) => true,
            Credential::Bearer(bearer) => bearer.is_held(),
        }
    }

    /// The topic of a push that names `topic` or none.
    ///
    /// # Errors
    /// The reason why this provider may not push, or not to this topic.
    pub(super) fn topic<'a>(
        &'a mut self,
        now: WallTime,
        topic: Option<&'a str>,
        authorization: Option<&str>,
        keys: &Keys,
    ) -> Result<&'a str, Reason> {
        let given = |topic: Option<&'a str>| match topic {
            None | Some("") => Err(Reason::MissingTopic),
            Some(topic) if is_well_formed(topic) => Ok(topic),
            Some(_) => Err(Reason::BadTopic),
        };
        match &mut self.credential {
            Credential::Refused(reason) => Err(*reason),
            Credential::Topics(topics) => match (topic, topics.as_slice()) {
                (None, [only]) => Ok(only),
                (topic, topics) => given(topic).and_then(|topic| {
                    let is_allowed = topics.iter().any(|it| it == topic);
                    is_allowed.then_some(topic).ok_or(Reason::TopicDisallowed)
                }),
            },
            Credential::Bearer(bearer) => {
                let key = bearer.check(now, authorization, self.environment, keys)?;
                let topic = given(topic)?;
                let topics = key.topics.as_ref();
                let is_allowed = topics.is_none_or(|topics| topics.iter().any(|it| it == topic));
                is_allowed.then_some(topic).ok_or(Reason::TopicDisallowed)
            }
        }
    }
}

impl Certificate {
    /// A certificate for one topic that is good for both services.
    pub fn for_topic(topic: &str) -> Self {
        Self {
            topics: vec![topic.to_owned()],
            development: true,
            production: true,
        }
    }

    /// Certificates without either mark are taken by both services: those of test authorities seldom
    /// carry Apple's extensions.
    fn check(&self, environment: Environment) -> Result<(), Reason> {
        if !self.topics.iter().any(|it| it.starts_with(MDM_TOPIC)) {
            return Err(Reason::BadCertificate);
        }
        let is_marked = self.development || self.production;
        let is_for_it = match environment {
            Environment::Production => self.production,
            Environment::Sandbox => self.development,
        };
        if is_marked && !is_for_it {
            return Err(Reason::BadCertificateEnvironment);
        }
        Ok(())
    }
}

/// Whether a topic is written as a bundle identifier is: letters, digits, dots, hyphens, and the
/// underscores that some have.
fn is_well_formed(topic: &str) -> bool {
    let of_identifier = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    topic.len() <= TOPIC_MAX && topic.bytes().all(of_identifier)
}

/// The longest topic, in bytes: as long as a name of a certificate's subject may be by its issuers'
/// practice.
const TOPIC_MAX: usize = 255;
