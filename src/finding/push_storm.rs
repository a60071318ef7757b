//! A device was pushed over and over.
//!
//! Each push costs a wake. Every order accounts for one push; what comes beyond that, and more than
//! so many in a minute, is a storm. Only pushes count that APNs took: one that failed may be tried
//! again.

use crate::record::setup::Orderer;
use crate::rule::Rule;

use super::event::Push;
use super::repeat_storm::SETUP;
use super::watch::{Case, MINUTE};

pub(super) fn pushed(case: &mut Case<'_>, push: &Push) {
    // A server sets up a device that has just enrolled.
    let is_new = case
        .story
        .told
        .is_some_and(|(_, read)| read + SETUP > push.arrived);
    if push.status != 200 || is_new || case.watch.setup.orderer == Orderer::Elsewhere {
        return;
    }
    if case.story.credit > 0 {
        case.story.credit -= 1;
        return;
    }
    let (since, count) = case.story.surplus;
    let (since, count) = if since + MINUTE > push.arrived && count > 0 {
        (since, count + 1)
    } else {
        (push.arrived, 1)
    };
    case.story.surplus = (since, count);
    if count != case.limits().per_minute + 1 {
        return;
    }
    let evidence = [
        (since, "a push came that no order accounts for".to_owned()),
        (push.arrived, format!("the {count}. such push since then")),
    ];
    case.report(Rule::PushStorm, push.arrived, None, evidence);
}
