//! The check-in messages of an agent that enrols, has a new token, or leaves.

use std::sync::Arc;

use super::agent::{Agent, Around};
use super::environment::Terms;
use super::execution;
use super::traits::Platform;
use crate::condition::Condition;
use crate::ids::{Channel, Crowd, DeviceId, hex_lower, hex_upper};
use crate::protocol::access_right::AccessRights;
use crate::protocol::checkin::{
    Authenticate, CheckIn, CheckOut, Enrollee, MacNames, TokenUpdate, User, UserAuthenticate,
};

impl Agent {
    pub(super) fn authenticate(&self, around: &Around<'_>) -> Arc<[u8]> {
        let (env, traits) = (around.env, around.traits);
        let mac = traits.platform == Platform::Mac;
        let enrollee = around.enrollee();
        // What identifies the hardware needs a right, and is never told in a user enrolment.
        let tells = AccessRights(env.terms.access_rights).has(AccessRights::DEVICE_INFORMATION);
        let names_itself = tells && !enrollee.is_user_enrollment();
        let when = |tells: bool, text: &str| tells.then(|| text.to_owned());
        CheckIn::Authenticate(Authenticate {
            topic: env.topic.to_string(),
            udid: enrollee,
            os_version: when(tells, around.os_version()),
            build: around.build().filter(|_| tells).map(str::to_owned),
            product: when(tells, &traits.product),
            serial: names_itself.then(|| env.crowd.serial(around.device)),
            imei: (names_itself && traits.platform == Platform::Iphone)
                .then(|| execution::imei(env.seed, around.device)),
            // Phones of today have none.
            meid: None,
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
        let rare = self.rare.as_deref();
        CheckIn::TokenUpdate(TokenUpdate {
            topic: env.topic.to_string(),
            udid: around.enrollee(),
            user: self.identity(around),
            token: env.crowd.token(channel, self.token_epoch).0.to_vec(),
            magic: env.crowd.magic(channel, self.token_epoch),
            unlock_token: self.unlock_token(around),
            awaiting_configuration: self.awaits_configuration(around),
            auth_token: rare.and_then(|rare| rare.auth_token.clone()),
        })
        .encode()
        .into()
    }

    /// Whether Setup Assistant waits for DeviceConfigured.
    pub(super) fn awaits_configuration(&self, around: &Around<'_>) -> bool {
        self.user == 0 && around.conditions().has(Condition::SetupAssistant)
    }

    /// Of iPhones and iPads with the right for passcodes; not Shared iPad, not user enrolment.
    fn unlock_token(&self, around: &Around<'_>) -> Option<Vec<u8>> {
        let (terms, traits) = (&around.env.terms, around.traits);
        let has_one = matches!(traits.platform, Platform::Ipad | Platform::Iphone)
            && traits.users == 0
            && !terms.is_user_enrollment
            && AccessRights(terms.access_rights).has(AccessRights::PASSCODE);
        let epoch = u64::from(self.token_epoch);
        let token = || {
            around
                .env
                .crowd
                .derive("unlock token", around.device, epoch)
        };
        has_one.then(|| token().to_vec())
    }

    pub(super) fn check_out(&self, around: &Around<'_>) -> Arc<[u8]> {
        CheckIn::CheckOut(CheckOut {
            udid: around.enrollee(),
            topic: around.env.topic.to_string(),
        })
        .encode()
        .into()
    }

    pub(super) fn user_authenticate(&self, around: &Around<'_>) -> Arc<[u8]> {
        let user = self.identity(around).unwrap_or_default();
        let challenge = self.rare.as_deref().and_then(|it| it.challenge.as_deref());
        // Nothing published says what a response is made of; servers that check one know the
        // user's password, which does not exist here.
        let digest_response = challenge.map(|challenge| {
            let hash = blake3::hash(format!("{}:{challenge}", user.id).as_bytes());
            hex_lower(&hash.as_bytes()[..16])
        });
        CheckIn::UserAuthenticate(UserAuthenticate {
            udid: around.enrollee(),
            user,
            digest_response,
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

/// By what a server knows a device that enrols under these terms.
pub fn enrollee(crowd: &Crowd, terms: &Terms, device: DeviceId) -> Enrollee {
    if !terms.is_user_enrollment {
        return Enrollee::Udid(crowd.udid(device));
    }
    let bytes = crowd.derive("enrollment id", device, 0);
    Enrollee::EnrollmentId(hex_upper(&bytes[..20]))
}

/// What servers call a channel: the id of its device, and the user behind it.
pub fn enrollment_id(crowd: &Crowd, terms: &Terms, platform: Platform, channel: Channel) -> String {
    let device = enrollee(crowd, terms, channel.device);
    match user_of(crowd, platform, channel) {
        Some(user) => user.enrollment_id(&device),
        None => device.to_string(),
    }
}
