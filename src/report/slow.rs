//! Which commands share a cause, and those that were open for long.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::record::account::Account;
use crate::record::slow;

use super::summary::example;
use super::{CauseShare, Slow, SlowGroup};

/// Commands by cohort and request type, the most first.
pub(super) fn shares(
    account: &Account,
    counts: impl Iterator<Item = ((u16, u16), u64)>,
) -> Vec<CauseShare> {
    let mut sums: BTreeMap<(u16, u16), u64> = BTreeMap::new();
    for (key, count) in counts {
        *sums.entry(key).or_default() += count;
    }
    let mut shares: Vec<CauseShare> = sums
        .into_iter()
        .map(|((cohort, request), count)| CauseShare {
            cohort: account.cohorts[usize::from(cohort)].name.clone(),
            request: account.requests[usize::from(request)].clone(),
            count,
        })
        .collect();
    shares.sort_by_key(|share| Reverse(share.count));
    shares
}

/// The commands that were open for longer than the limit, by cause.
pub(super) fn slow(account: &Account) -> Slow {
    let mut groups: BTreeMap<_, Vec<(&slow::SlowKey, &slow::SlowGroup)>> = BTreeMap::new();
    for (key, group) in &account.slow {
        groups.entry((key.2, key.3)).or_default().push((key, group));
    }
    let mut causes: Vec<SlowGroup> = groups
        .into_iter()
        .filter_map(|((cause, owner), members)| {
            let (_, first) = members.iter().min_by_key(|(_, it)| it.example.order)?;
            let counts = members.iter().map(|(key, it)| ((key.0, key.1), it.count));
            Some(SlowGroup {
                cause: cause.name().to_owned(),
                owner: owner.name().to_owned(),
                count: members.iter().map(|(_, it)| it.count).sum(),
                remedy: cause.remedy().to_owned(),
                shares: shares(account, counts),
                example: example(account, &first.example),
            })
        })
        .collect();
    causes.sort_by_key(|group| Reverse(group.count));
    Slow {
        after_ms: account
            .slow_after
            .map(|after| after.as_secs_f64() * 1_000.0),
        causes,
    }
}
