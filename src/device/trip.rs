//! What the network between a device and the server does to one request: drawn by the device, so
//! that virtual and real time carry out the same.

use std::time::Duration;

use super::agent::Around;
use super::contract::{Fate, Trip};
use crate::ids::RequestId;
use crate::seed::Purpose;

/// Draws the trip of the request `id` of `user`'s channel.
pub(super) fn draw(around: &Around<'_>, user: u8, id: RequestId) -> Trip {
    let (link, clock) = (&around.traits.link, &around.traits.clock);
    let wrong = Duration::from_micros(around.ahead_us.unsigned_abs());
    if let Some(tolerance) = clock.tls_tolerance
        && wrong > tolerance
    {
        let side = if around.ahead_us > 0 {
            "ahead"
        } else {
            "behind"
        };
        let why = format!(
            "the device's clock is {} s {side}, and the scenario lets it refuse TLS above {} s",
            wrong.as_secs(),
            tolerance.as_secs()
        );
        return Trip {
            fate: Fate::RefusesTls(why),
            ..Trip::default()
        };
    }
    if link.is_calm() {
        return Trip::default();
    }
    let mut die = around.draw(user, Purpose::Trip, u64::from(id.0), 0);
    let latency = die.span(&link.latency);
    let slow_read = die.span(&link.slow_read);
    let point = die.unit();
    let fates = [
        (link.loss, Fate::Lost),
        (link.cut_before, Fate::CutBefore),
        (link.cut_after, Fate::CutAfter),
    ];
    let mut below = 0.0;
    let mut fate = Fate::Arrives;
    for (share, kind) in fates {
        below += share;
        if point < below {
            fate = kind;
            break;
        }
    }
    Trip {
        latency,
        slow_read,
        fate,
    }
}
