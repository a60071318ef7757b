//! A push carried a token, magic or topic that the device does not have any more.
//!
//! Apple: TokenUpdate tells the server the token, the PushMagic and the topic to push with from
//! then on. Only pushes count that arrived a settle time after the 2xx to the device's last
//! TokenUpdate was read, and only while the token is the one it told: what the plan changed since
//! then the target cannot know. Where the scenario has the gateway answer in this way on purpose,
//! its answers prove nothing.

use crate::fact::Ignored;
use crate::ids::PushId;
use crate::rule::Rule;
use crate::time::SimTime;

use super::event::Push;
use super::watch::Case;

/// The gateway said that a token is no good.
pub(super) fn refused(case: &mut Case<'_>, push: &Push) {
    if push.calls_token_bad && !case.watch.setup.trouble.lies_about_tokens {
        let what = format!(
            "the gateway answered {}: the token is not the device's",
            push.status
        );
        judge(case, push.arrived, push.arrived, what);
    }
}

/// The device had a push and ignored it.
pub(super) fn ignored(case: &mut Case<'_>, push: PushId, why: Ignored, at: SimTime) {
    let what = match why {
        Ignored::WrongTopic => "the device ignored it: its topic is another",
        Ignored::WrongMagic => "the device ignored it: its PushMagic is another",
        Ignored::NotEnrolled => return,
    };
    let last = case.story.last_push.filter(|(last, _)| *last == push);
    if let Some((_, arrived)) = last {
        judge(case, arrived, at, what.to_owned());
    }
}

fn judge(case: &mut Case<'_>, arrived: SimTime, until: SimTime, what: String) {
    let Some((asked, read)) = case.story.told else {
        return;
    };
    let device = case.channel.device;
    let may_be_so = read + case.limits().settle > arrived
        || !case.device.is_managed
        || case.device.is_between
        || case.device.is_copy
        || case.watch.token_changes(device, asked, until);
    if may_be_so {
        return;
    }
    let evidence = [
        (
            read,
            "a 2xx to the device's TokenUpdate was read whole".to_owned(),
        ),
        (arrived, "a push reached the gateway".to_owned()),
        (until, what),
    ];
    case.report(Rule::WrongPush, arrived, None, evidence);
}
