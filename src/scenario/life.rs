//! The parts of a device's life that are no rhythm: its links, its clock, when it polls, and the
//! states a share of devices begins in.

use super::assumed;
use super::found::Found;
use super::preset::Preset;
use super::resolve::Resolving;
use super::rhythm::{self, Lives};
use crate::condition::Condition;
use crate::device::traits::{ClockFrom, ClockTraits, Link, Nat, Platform, PollOn, PushLink};
use crate::seed::Dist;

/// No place on Earth is further from UTC.
const UTC_OFFSET_MAX: i64 = 14 * 3_600;

/// All conditions of a cohort: what comes and goes, and what some devices begin in.
pub(super) fn conditions(
    found: &Found,
    preset: &Preset,
    platform: Platform,
    resolving: &mut Resolving,
) -> Lives {
    if found.is_present("mac") && platform != Platform::Mac {
        let product = found.text("model").map_or(preset.product, String::as_str);
        resolving.problems.add(
            found.place_of("mac"),
            format!("mac is for Macs, and {product} is none"),
            "leave it out, or a model as \"Mac14,2\"",
        );
    }
    let mut lives = rhythm::all(found, preset, resolving);
    let states = [
        ("setup-assistant", Condition::SetupAssistant),
        ("lost-mode", Condition::LostMode),
        ("gone", Condition::Gone),
    ];
    for (key, condition) in states {
        lives.begin(condition, found.number(key).copied().unwrap_or_default());
    }
    if let Some(lock) = found.table("lock") {
        let share = lock.number("first-unlock-share").copied();
        lives.begin(Condition::BeforeFirstUnlock, share.unwrap_or_default());
    }
    lives.begin(Condition::PushBlocked, blocked(found, resolving));
    lives
}

/// The share of devices whose network drops the push port.
fn blocked(found: &Found, resolving: &mut Resolving) -> f64 {
    let Some(link) = found.table("link") else {
        return 0.0;
    };
    let share = link.number("share-blocked").copied();
    match link.text("push").map(String::as_str) {
        Some("open") if share.is_some() => {
            resolving.problems.add(
                link.place_of("share-blocked"),
                "push is \"open\", but a share of it is blocked",
                "push = \"blocked\", or leave share-blocked out",
            );
            0.0
        }
        Some("blocked") => share.unwrap_or(1.0),
        Some(_) | None => share.unwrap_or_default(),
    }
}

/// Whether devices are off the network until their first unlock.
pub(super) fn offline_before_first_unlock(found: &Found, resolving: &mut Resolving) -> bool {
    let lock = found.table("lock");
    let given = lock.and_then(|lock| lock.flag("offline-before-first-unlock"));
    given.copied().unwrap_or_else(|| {
        resolving
            .assumed
            .insert("cohorts.lock.offline-before-first-unlock");
        assumed::OFFLINE_BEFORE_FIRST_UNLOCK
    })
}

/// The way to the push service.
pub(super) fn push_link(found: &Found, resolving: &mut Resolving) -> PushLink {
    let link = found.table("link");
    let fallback = link.and_then(|link| link.flag("fallback-443")).copied();
    let fallback_443 = fallback.unwrap_or_else(|| {
        resolving.assumed.insert("cohorts.link.fallback-443");
        assumed::FALLBACK_443
    });
    let timeout = link.and_then(|link| link.span("nat-timeout")).copied();
    let keep_alive = link.and_then(|link| link.dist("keep-alive")).cloned();
    if let Some(link) = link
        && link.is_present("keep-alive")
        && !link.is_present("nat-timeout")
    {
        resolving.problems.add(
            link.place_of("keep-alive"),
            "keep-alive without nat-timeout changes nothing",
            "add nat-timeout = \"5m\"",
        );
    }
    let nat = timeout.map(|timeout| Nat {
        timeout,
        keep_alive: keep_alive.unwrap_or_else(|| {
            resolving.assumed.insert("cohorts.link.keep-alive");
            assumed::KEEP_ALIVE
        }),
    });
    PushLink { fallback_443, nat }
}

/// The way to the server.
pub(super) fn link(found: &Found, resolving: &mut Resolving) -> Link {
    let section = found.table("link");
    let dist = |key| {
        let given = section.and_then(|link| link.dist(key)).cloned();
        given.unwrap_or(Dist::ZERO)
    };
    let share = |key| {
        let given = section.and_then(|link| link.number(key)).copied();
        given.unwrap_or_default()
    };
    let link = Link {
        latency: dist("latency"),
        loss: share("loss"),
        cut_before: share("cut-before"),
        cut_after: share("cut-after"),
        slow_read: dist("slow-read"),
    };
    let together = link.loss + link.cut_before + link.cut_after;
    if let Some(section) = section
        && together > 1.0
    {
        let last = ["cut-after", "cut-before", "loss"];
        let last = last.into_iter().find(|key| section.is_present(key));
        resolving.problems.add(
            section.place_of(last.unwrap_or("loss")),
            "loss, cut-before and cut-after are more than all requests",
            "at most 1 in all three together",
        );
    }
    link
}

/// What devices believe the time is.
pub(super) fn clock(found: &Found, resolving: &mut Resolving) -> ClockTraits {
    let Some(clock) = found.table("clock") else {
        return ClockTraits {
            share: 0.0,
            from: ClockFrom::TimeZero,
            offset_us: 0,
            drift_ppm: 0.0,
            resync: None,
            flat_battery: false,
            tls_tolerance: None,
        };
    };
    if !clock.is_present("resync") {
        resolving.assumed.insert("cohorts.clock.resync");
    }
    if !clock.is_present("tls-tolerance") {
        resolving.assumed.insert("cohorts.clock.tls-tolerance");
    }
    let wrong = ["offset", "drift-ppm", "flat-battery"];
    if clock.is_present("share") && !wrong.iter().any(|key| clock.is_present(key)) {
        resolving.problems.add(
            clock.place_of("share"),
            "a share of the clocks is wrong, but not how",
            "add offset = \"-11m\", drift-ppm = 20 or flat-battery = true",
        );
    }
    ClockTraits {
        share: clock.number("share").copied().unwrap_or(1.0),
        from: match clock.text("from").map(String::as_str) {
            Some("enrollment") => ClockFrom::Enrollment,
            Some(_) | None => ClockFrom::TimeZero,
        },
        offset_us: clock.offset("offset").copied().unwrap_or_default(),
        drift_ppm: clock.number("drift-ppm").copied().unwrap_or_default(),
        resync: clock.dist("resync").cloned(),
        flat_battery: clock.flag("flat-battery") == Some(&true),
        tls_tolerance: clock.span("tls-tolerance").copied(),
    }
}

/// When devices poll by themselves.
pub(super) fn poll_on(found: &Found, resolving: &mut Resolving) -> PollOn {
    let given = found.words("poll-on");
    if given.is_none() {
        resolving.assumed.insert("cohorts.poll-on");
    }
    let on = |word: &str| match given {
        Some(words) => words.iter().any(|given| given == word),
        None => assumed::POLL_ON == word,
    };
    PollOn {
        boot: on("boot"),
        unlock: on("unlock"),
        network_return: on("network-return"),
    }
}

/// How long a restart takes.
pub(super) fn boot(found: &Found, resolving: &mut Resolving) -> Dist {
    let given = found.table("power").and_then(|power| power.dist("boot"));
    given.cloned().unwrap_or_else(|| {
        resolving.assumed.insert("cohorts.power.boot");
        assumed::BOOT
    })
}

/// How long a system update takes.
pub(super) fn update(found: &Found, resolving: &mut Resolving) -> Dist {
    let given = found.table("power").and_then(|power| power.dist("update"));
    given.cloned().unwrap_or_else(|| {
        resolving.assumed.insert("cohorts.power.update");
        assumed::UPDATE
    })
}

/// How many users have a channel of their own.
pub(super) fn users(
    found: &Found,
    preset: &Preset,
    platform: Platform,
    resolving: &mut Resolving,
) -> u8 {
    let can_have = matches!(platform, Platform::Mac | Platform::Ipad);
    let usual = if can_have { preset.users } else { 0 };
    let Some(users) = found.count("users").copied() else {
        return usual;
    };
    if users > 0 && !can_have {
        resolving.problems.add(
            found.place_of("users"),
            "only Macs and Shared iPads have users with channels of their own",
            "leave it out, or users = 0",
        );
    }
    u8::try_from(users).unwrap_or(usual)
}

/// Seconds the local time of devices is ahead of that of the scenario.
pub(super) fn utc_offset(found: &Found, resolving: &mut Resolving) -> i32 {
    let micros = found.offset("utc-offset").copied().unwrap_or_default();
    let seconds = micros / 1_000_000;
    if seconds.abs() > UTC_OFFSET_MAX {
        resolving.problems.add(
            found.place_of("utc-offset"),
            "utc-offset is more than any place on Earth has",
            "from \"-14h\" to \"+14h\"",
        );
    }
    i32::try_from(seconds).unwrap_or_default()
}

/// What a push takes longer to reach a sleeping device; `None` when pushes wait.
pub(super) fn woken_by_push(found: &Found, resolving: &mut Resolving) -> Option<Dist> {
    if !found.is_present("woken-by-push") {
        resolving.assumed.insert("cohorts.woken-by-push");
    }
    found.dist("woken-by-push").cloned()
}
