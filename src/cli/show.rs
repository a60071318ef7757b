//! `mdmstorm show`: the story of one device or one command of a bundle.

use super::args::ShowArgs;
use super::print::{Stop, paint, say};
use super::report::{open, unreadable, warn_of_cut};
use crate::engine::bundle::Recorded;
use crate::engine::bundle::analysis::Analysis;
use crate::engine::bundle::names::DeviceNames;
use crate::engine::bundle::trace::Traced;
use crate::ids::{CommandUuid, DeviceId, OrderIndex};
use crate::record::setup::Setup;
use crate::report::exit::Exit;
use crate::report::story::{About, Length, Story, sequel, told};

pub(super) fn run(args: &ShowArgs) -> Result<u8, Stop> {
    let recorded = open(&args.bundle)?;
    let setup = recorded.setup();
    let about = match (&args.device, &args.command) {
        (Some(device), _) => About::Device(device_called(&recorded, device)?),
        (None, Some(command)) => order_called(&recorded, &setup, command)?,
        (None, None) => {
            let message = "error: whose story? name one with --device or --command";
            return Err(Stop::new(Exit::Usage, message));
        }
    };
    let mut story = Story::new(&setup, about);
    let follow = Some(about.device());
    let analysis = Analysis::following(&recorded, follow, |fact| story.look(fact));
    let analysis = analysis.map_err(unreadable)?;
    warn_of_cut(&analysis);
    let length = if args.all {
        Length::All
    } else {
        Length::Screen
    };
    let (lines, not_kept) = story.lines(&analysis.account);
    let traced = recorded.traced(about.device()).map_err(unreadable)?;
    let header = header(&recorded, &setup, about)?;
    say(&format!(
        "{header}\n{}\n{}",
        told(&lines, not_kept, length, |channel, asked| {
            traced.get(&(channel, asked)).map(|it| bodies(it, length))
        }),
        sequel(
            about,
            (&setup, &analysis.account),
            &analysis.findings,
            length,
            paint()
        )
    ));
    Ok(0)
}

/// The most lines of one body on a screen.
const BODY_LINES: usize = 16;

/// What a device said, and below it what it was told.
fn bodies(traced: &Traced, length: Length) -> String {
    let status = traced
        .status
        .map_or_else(String::new, |it| format!("HTTP {it}\n"));
    let answer = format!("{status}{}", traced.answer);
    let mut text = String::new();
    for (mark, body) in [('>', &traced.request), ('<', &answer)] {
        let lines: Vec<&str> = body.lines().collect();
        let shown = match length {
            Length::All => lines.len(),
            Length::Screen => lines.len().min(BODY_LINES),
        };
        for line in &lines[..shown] {
            text += &format!("{mark} {line}\n");
        }
        if shown < lines.len() {
            let more = lines.len() - shown;
            text += &format!("{mark} and {more} lines more; --all shows them\n");
        }
    }
    text
}

/// The device that somebody names: by its number, its UDID or its serial number.
fn device_called(recorded: &Recorded, name: &str) -> Result<DeviceId, Stop> {
    let devices = recorded.plan.devices();
    if let Ok(number) = name.parse::<u32>()
        && number < devices
    {
        return Ok(DeviceId(number));
    }
    let found = recorded.find(|it| it.is_called(name)).map_err(unreadable)?;
    found.map(|it| it.device).ok_or_else(|| {
        let last = devices.saturating_sub(1);
        let message = format!(
            "error: {} has no device {name}; name one by its number, 0 to {last}, by its UDID, or by \
             its serial number",
            recorded.folder.display()
        );
        Stop::new(Exit::Usage, message)
    })
}

/// The order that somebody names: by its index or its CommandUUID.
fn order_called(recorded: &Recorded, setup: &Setup, name: &str) -> Result<About, Stop> {
    let index = name.parse().ok().map(OrderIndex);
    // Servers and people write UUIDs in either case; those of a run are in upper case.
    let uuid = || CommandUuid(name.to_uppercase().into());
    let order = index.or_else(|| setup.book.order(&uuid()));
    let known = order.and_then(|order| {
        let info = setup.orders.get(order.0 as usize)?;
        Some(About::Order(info.channel, order))
    });
    known.ok_or_else(|| {
        let there = match setup.orders.len() {
            0 => "this run ordered nothing; show the device that received it with --device"
                .to_owned(),
            orders => format!(
                "name one by its order's index, 0 to {}, or by the CommandUUID it had in this run",
                orders - 1
            ),
        };
        let message = format!(
            "error: {} has no command {name}; {there}",
            recorded.folder.display()
        );
        Stop::new(Exit::Usage, message)
    })
}

/// Who it is about, and of which run.
fn header(recorded: &Recorded, setup: &Setup, about: About) -> Result<String, Stop> {
    let (plan, manifest) = (&recorded.plan, &recorded.manifest);
    let device = about.device();
    let cohort = &plan.cohorts[usize::from(plan.cohort_of(device).0)];
    let traits = &cohort.traits;
    let names = recorded.find(|it: &DeviceNames| it.device == device);
    let names = names.map_err(unreadable)?.map_or_else(String::new, |it| {
        format!("  UDID {}  serial {}", it.udid, it.serial)
    });
    let mut text = String::new();
    if let About::Order(channel, order) = about {
        let info = setup.orders[order.0 as usize];
        let request = &setup.requests[usize::from(info.request)];
        let stage = &setup.stages[usize::from(info.stage)].name;
        let uuid = CommandUuid::of_order(recorded.run, order);
        let order = order.0;
        text += &format!("order {order}  {request}  {uuid}  for {channel}  stage {stage}\n");
    }
    let (product, model, os) = (&traits.product, &traits.model_name, &traits.os_version);
    text += &format!("device {}  {}{names}\n", device.0, cohort.name);
    text += &format!(
        "model {model} ({product}), system {os} ({})\n",
        traits.build
    );
    text += &format!("target {}\n", manifest.target);
    text += &format!(
        "{}  seed {}  plan {}  mdmstorm {}  began {}\n",
        manifest.scenario,
        manifest.seed,
        manifest.plan_hash.get(..12).unwrap_or_default(),
        manifest.mdmstorm,
        manifest.started
    );
    Ok(text)
}
