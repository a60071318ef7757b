//! Latency over time as one SVG: p50 and p99 of push-to-completion per second, on a log scale.

use std::fmt::Write as _;

use crate::record::interval::Interval;

use super::latency::show;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 36.0;
/// More points than the plot has pixels say no more.
const POINTS_MAX: usize = 800;

/// Milliseconds to the plot's vertical, seconds to its horizontal.
struct Scale {
    seconds: f64,
    low: f64,
    high: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds / self.seconds * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, ms: f64) -> f64 {
        let part = (ms.max(0.001).log10() - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

/// The plot; `None` when nothing settled after a push.
pub(super) fn latency(intervals: &[Interval]) -> Option<String> {
    let all: Vec<&Interval> = intervals.iter().filter(|it| it.p50_ms.is_some()).collect();
    let values = || all.iter().flat_map(|it| [it.p50_ms, it.p99_ms]).flatten();
    let high = values().fold(f64::MIN, f64::max);
    let low = values().fold(f64::MAX, f64::min);
    let last = intervals.last().filter(|_| !all.is_empty())?;
    let low = low.max(0.001).log10().floor();
    let scale = Scale {
        seconds: seconds(last).max(1.0),
        low,
        high: high.max(0.001).log10().ceil().max(low + 1.0),
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Push to completion over time\">"
    );
    axes(&mut svg, &scale);
    let step = all.len().div_ceil(POINTS_MAX).max(1);
    for (class, pick) in [
        ("p50", (|it| it.p50_ms) as fn(&Interval) -> Option<f64>),
        ("p99", |it| it.p99_ms),
    ] {
        curve(&mut svg, &scale, class, &points(&all, step, pick));
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// The worst of every `step` intervals.
fn points(all: &[&Interval], step: usize, pick: fn(&Interval) -> Option<f64>) -> Vec<(f64, f64)> {
    all.chunks(step)
        .filter_map(|chunk| {
            let worst = chunk.iter().filter_map(|it| pick(it)).reduce(f64::max)?;
            Some((seconds(chunk.first()?), worst))
        })
        .collect()
}

fn axes(svg: &mut String, scale: &Scale) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let mut decade = scale.low;
    while decade <= scale.high {
        let ms = 10_f64.powf(decade);
        let y = scale.y(ms);
        let label = show(Some(ms));
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            y + 4.0,
        );
        decade += 1.0;
    }
    for part in 0..=4 {
        let at = scale.seconds * f64::from(part) / 4.0;
        let (x, y) = (scale.x(at), bottom + 20.0);
        let label = match part {
            0 => "0".to_owned(),
            _ => show(Some(at * 1_000.0)),
        };
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>"
        );
    }
}

fn curve(svg: &mut String, scale: &Scale, class: &str, points: &[(f64, f64)]) {
    let mut path = String::new();
    for (at, ms) in points {
        let (x, y) = (scale.x(*at), scale.y(*ms));
        let _ = write!(path, "{x:.1},{y:.1} ");
        let _ = write!(
            svg,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.8\"/>"
        );
    }
    let path = path.trim_end();
    let _ = write!(svg, "<polyline class=\"{class}\" points=\"{path}\"/>");
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of a run are far below 2^52"
)]
fn seconds(interval: &Interval) -> f64 {
    interval.at.as_micros() as f64 / 1e6
}
