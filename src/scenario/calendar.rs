//! Times of the day and of the week, and lengths of time that have a sign.
//!
//! As in [`super::value`], what is wrong is the end of a sentence that begins with the key.

use std::time::Duration;

use super::value;
use crate::device::traits::Window;

/// The days of the week, Monday first, as a scenario names them.
pub(super) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A clock without its battery begins decades ago.
const OFFSET_DAYS: u64 = 36_500;

/// `+2h`, `-11m`: microseconds ahead.
pub(super) fn offset(text: &str) -> Result<i64, String> {
    let (sign, length) = match text.trim().split_at_checked(1) {
        Some(("+", length)) => (1, length),
        Some(("-", length)) => (-1, length),
        Some(_) | None => return Err(format!("is \"{text}\", which has no sign")),
    };
    let length = value::bounded(length, OFFSET_DAYS)
        .map_err(|_| format!("is \"{text}\", which is no length of time with a sign"))?;
    let micros = i64::try_from(length.as_micros()).expect("100 years are 3.2e15 microseconds");
    Ok(sign * micros)
}

/// The number of a day of the week, Monday 0.
pub(super) fn day(text: &str) -> Option<usize> {
    DAYS.iter().position(|day| *day == text)
}

/// `mon 07:30`: since Monday 00:00.
pub(super) fn week_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("is \"{text}\"");
    let (name, time) = text.trim().split_once(' ').ok_or_else(wrong)?;
    let day = day(name).ok_or_else(|| format!("is \"{text}\", and \"{name}\" is no day"))?;
    let time = time_of_day(time.trim()).ok_or_else(wrong)?;
    if time >= Duration::from_secs(DAY) {
        return Err(wrong());
    }
    Ok(Duration::from_secs(day as u64 * DAY) + time)
}

/// `22:00..07:00`.
pub(super) fn window(text: &str) -> Result<Window, String> {
    let wrong = || format!("has \"{text}\", which is no stretch of a day");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let from = time_of_day(from.trim()).ok_or_else(wrong)?;
    let to = time_of_day(to.trim()).ok_or_else(wrong)?;
    if from == to {
        return Err(format!("has \"{text}\", which is empty"));
    }
    if from >= Duration::from_secs(DAY) {
        return Err(wrong());
    }
    Ok(Window { from, to })
}

/// `07:30`, up to `24:00`.
fn time_of_day(text: &str) -> Option<Duration> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let is_right = hours < 24 && minutes < 60 || (hours, minutes) == (24, 0);
    is_right.then(|| Duration::from_secs(hours * HOUR + minutes * MINUTE))
}

/// A time of the week as a scenario would write it.
pub fn written_week_time(since_monday: Duration) -> String {
    let seconds = since_monday.as_secs();
    let day = DAYS[(seconds / DAY % 7) as usize];
    format!("{day} {}", written_time(Duration::from_secs(seconds % DAY)))
}

/// Windows and days as a scenario would write them: `22:00..07:00 mon, tue`.
pub fn written_windows(windows: &[Window], days: [bool; 7]) -> String {
    let windows: Vec<String> = windows
        .iter()
        .map(|window| format!("{}..{}", written_time(window.from), written_time(window.to)))
        .collect();
    let named: Vec<&str> = DAYS
        .into_iter()
        .zip(days)
        .filter_map(|(day, holds)| holds.then_some(day))
        .collect();
    let days = if named.len() == DAYS.len() {
        "every day".to_owned()
    } else {
        named.join(", ")
    };
    format!("{} {days}", windows.join(", "))
}

fn written_time(since_midnight: Duration) -> String {
    let minutes = since_midnight.as_secs() / MINUTE;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_says_which_way() {
        assert_eq!(offset("+2h"), Ok(7_200_000_000));
        assert_eq!(offset("-11m"), Ok(-660_000_000));
        for wrong in ["2h", "", "+", "--1s", "+1", "-40000d", "é1s"] {
            assert!(offset(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_of_the_week_is_written_as_it_is_read() {
        for text in ["mon 00:00", "tue 07:30", "sun 23:59"] {
            assert_eq!(week_time(text).map(written_week_time), Ok(text.to_owned()));
        }
        for wrong in [
            "mon",
            "07:30",
            "mon 24:00",
            "mon 7:30",
            "may 07:30",
            "mon 07:60",
        ] {
            assert!(week_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_window_may_go_past_midnight_and_may_not_be_empty() {
        let night = window("22:00..07:00").unwrap();
        assert!(night.from > night.to);
        assert!(window("00:00..24:00").is_ok());
        for wrong in [
            "07:00",
            "07:00..07:00",
            "24:00..01:00",
            "25:00..01:00",
            "a..b",
        ] {
            assert!(window(wrong).is_err(), "{wrong}");
        }
        let text = written_windows(&[night], [true, false, false, false, false, false, true]);
        assert_eq!(text, "22:00..07:00 mon, sun");
    }
}
