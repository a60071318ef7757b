//! The check-in messages of an agent that enrols, or has a new token.

use std::sync::Arc;

use super::agent::{Agent, Around};
use super::execution;
use super::traits::Platform;
use crate::condition::Condition;
use crate::ids::{Channel, Crowd};
use crate::protocol::checkin::{Authenticate, CheckIn, MacNames, TokenUpdate, User};

impl Agent {
    pub(super) fn authenticate(&self, around: &Around<'_>) -> Arc<[u8]> {
        let (env, traits) = (around.env, around.traits);
        let mac = traits.platform == Platform::Mac;
        CheckIn::Authenticate(Authenticate {
            topic: env.topic.to_string(),
            udid: env.crowd.udid(around.device),
            os_version: Some(traits.os_version.clone()),
            build: Some(traits.build.clone()),
            product: Some(traits.product.clone()),
            serial: Some(env.crowd.serial(around.device)),
            mac: mac.then(|| MacNames {
                device_name: execution::factory_name(traits, around.device),
                model_name: traits.model_name.clone(),
                model: traits.product.clone(),
            }),
        })
        .encode()
        .into()
    }

    pub(super) fn token_update(&self, around: &Around<'_>) -> Arc<[u8]> {
        let (env, channel) = (around.env, self.channel(around.device));
        CheckIn::TokenUpdate(TokenUpdate {
            topic: env.topic.to_string(),
            udid: env.crowd.udid(around.device),
            user: self.identity(around),
            token: env.crowd.token(channel, self.token_epoch).0.to_vec(),
            magic: env.crowd.magic(channel, self.token_epoch),
            unlock_token: None,
            awaiting_configuration: self.user == 0
                && around.conditions().has(Condition::SetupAssistant),
        })
        .encode()
        .into()
    }

    /// The user whose channel this is; `None` for the device's own.
    pub(super) fn identity(&self, around: &Around<'_>) -> Option<User> {
        let channel = self.channel(around.device);
        user_of(&around.env.crowd, around.traits.platform, channel)
    }
}

/// The user of a channel on a device of `platform`; `None` for the device's own channel.
pub fn user_of(crowd: &Crowd, platform: Platform, channel: Channel) -> Option<User> {
    match (channel.user, platform) {
        (0, _) => None,
        (_, Platform::Mac) => Some(User::of_mac(crowd, channel)),
        (_, Platform::Ipad | Platform::Iphone | Platform::AppleTv) => {
            Some(User::of_shared_ipad(crowd, channel))
        }
    }
}

/// What servers call a channel: the UDID, and the user behind it.
pub fn enrollment_id(crowd: &Crowd, platform: Platform, channel: Channel) -> String {
    let udid = crowd.udid(channel.device);
    match user_of(crowd, platform, channel) {
        Some(user) => user.enrollment_id(&udid),
        None => udid,
    }
}
