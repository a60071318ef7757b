//! The check-in messages of a device that enrols.

use std::sync::Arc;

use super::Device;
use super::environment::Environment;
use super::execution;
use super::traits::Platform;
use crate::protocol::checkin::{Authenticate, CheckIn, MacNames, TokenUpdate};

impl Device {
    pub(super) fn authenticate(&self, env: &Environment) -> Arc<[u8]> {
        let traits = self.traits(env);
        let mac = traits.platform == Platform::Mac;
        CheckIn::Authenticate(Authenticate {
            topic: env.topic.to_string(),
            udid: env.crowd.udid(self.id),
            os_version: Some(traits.os_version.clone()),
            build: Some(traits.build.clone()),
            product: Some(traits.product.clone()),
            serial: Some(env.crowd.serial(self.id)),
            mac: mac.then(|| MacNames {
                device_name: execution::factory_name(traits, self.id),
                model_name: traits.model_name.clone(),
                model: traits.product.clone(),
            }),
        })
        .encode()
        .into()
    }

    pub(super) fn token_update(&self, env: &Environment) -> Arc<[u8]> {
        let channel = self.channel();
        CheckIn::TokenUpdate(TokenUpdate {
            topic: env.topic.to_string(),
            udid: env.crowd.udid(self.id),
            token: env.crowd.token(channel, self.token_epoch).0.to_vec(),
            magic: env.crowd.magic(channel, self.token_epoch),
            unlock_token: None,
        })
        .encode()
        .into()
    }
}
