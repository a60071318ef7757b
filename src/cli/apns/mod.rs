//! `mdmstorm apns`: what a server needs to push through the gateway, then the gateway alone.

mod line;
mod needs;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use self::needs::{Files, Needs};
use super::args::{ApnsArgs, LogForm};
use super::load;
use super::print::{Stop, say, warn};
use crate::engine::alone::{Alone, Event, Manner};
use crate::engine::front::{Doors, Listeners};
use crate::engine::gateway::tally::Tally;
use crate::engine::gateway::webhook::{Reach, Webhook};
use crate::engine::state::{GivenAuthority, State};
use crate::ids::DeviceId;
use crate::report::exit::Exit;
use crate::scenario::{Changes, Scenario};

/// The addresses without a scenario.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2197);
const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3128);

/// How long what is under way may take to be told at the end.
const REST_MAX: Duration = Duration::from_secs(5);

pub(super) fn run(args: &ApnsArgs) -> Result<u8, Stop> {
    let unexpected = |error: anyhow::Error| Stop::because(Exit::Unexpected, error);
    let scenario = match &args.scenario {
        Some(path) => Some(load::scenario_file(path, &Changes::default())?),
        None => None,
    };
    let webhook = match &args.webhook {
        Some(url) => Some(webhook(url, args)?),
        None => None,
    };
    let folder = load::state_folder(&args.state)?;
    let state = State::open_with(&folder, given(args).as_ref());
    let state = state.map_err(|error| unexpected(error.into()))?;
    let files = Files::of(scenario.as_ref(), &state).map_err(|error| unexpected(error.into()))?;
    let mut doors = doors(args, scenario.as_ref());
    let mut listeners = None;
    if !args.print {
        let bound = Listeners::open(&doors).map_err(|error| unexpected(error.into()))?;
        doors = bound.doors().map_err(|error| unexpected(error.into()))?;
        listeners = Some(bound);
    }
    let needs = Needs {
        scenario: scenario.as_ref(),
        file: args.scenario.as_deref(),
        files: &files,
        doors: &doors,
        crowd: &state.crowd,
        tokens: args.tokens,
    };
    match args.log {
        LogForm::Text => say(&needs.text()),
        LogForm::Json => say(&needs.json().to_string()),
    }
    let Some(listeners) = listeners else {
        return Ok(0);
    };
    let is_played = |it: &Scenario| it.timeline.happenings.is_empty();
    if !scenario.as_ref().is_none_or(is_played) {
        warn(
            "warning: mdmstorm apns does not play the timeline: its events about pushes do not come",
        );
    }
    let manner = Manner {
        scenario: scenario.as_ref(),
        webhook,
        gone: args.gone.iter().copied().map(DeviceId).collect(),
    };
    let alone = Alone::start(listeners, &state, &files.push, &files.topic, manner);
    let alone = alone.map_err(|error| unexpected(error.into()))?;
    watch(alone, args.log).map_err(|error| unexpected(error.into()))?;
    Ok(0)
}

/// Tells what happens until somebody asks for the end.
fn watch(mut alone: Alone, log: LogForm) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tell = |event: &Event| match log {
        LogForm::Text => say(&line::text(event)),
        LogForm::Json => say(&line::json(event).to_string()),
    };
    runtime.block_on(async {
        let mut asked = super::signals::first()?;
        if log == LogForm::Text {
            say("\nlistening; each push is a line; Ctrl-C ends it");
        }
        loop {
            tokio::select! {
                event = alone.next() => match event {
                    Some(event) => tell(&event),
                    None => break,
                },
                _ = asked.recv() => break,
            }
        }
        alone.halt();
        let rest = async {
            while let Some(event) = alone.next().await {
                tell(&event);
            }
        };
        let _ = tokio::time::timeout(REST_MAX, rest).await;
        Ok::<_, std::io::Error>(())
    })?;
    let tally = alone.stop();
    ended(&tally, log);
    Ok(())
}

fn ended(tally: &Tally, log: LogForm) {
    match log {
        LogForm::Text => say(&line::summary(tally)),
        LogForm::Json => {
            let mut stats = tally.stats();
            if let serde_json::Value::Object(fields) = &mut stats {
                fields.shift_insert(0, "event".into(), "ended".into());
            }
            say(&stats.to_string());
        }
    }
}

fn doors(args: &ApnsArgs, scenario: Option<&Scenario>) -> Doors {
    let (listen, proxy, plain) = match scenario.map(|scenario| &scenario.apns) {
        Some(apns) => (apns.listen, apns.connect_proxy, apns.plain_listen),
        None => (LISTEN, Some(PROXY), None),
    };
    let (direct, further) = match args.listen.split_first() {
        Some((first, further)) => (*first, further.to_vec()),
        None => (listen, Vec::new()),
    };
    Doors {
        direct,
        further,
        proxy: args.connect_proxy.or(proxy),
        plain: args.plain.or(plain),
        admin: args.admin,
        // There is no run that would listen.
        events: None,
    }
}

fn given(args: &ApnsArgs) -> Option<GivenAuthority> {
    Some(GivenAuthority {
        certificate: args.ca.clone()?,
        key: args.ca_key.clone()?,
    })
}

fn webhook(url: &str, args: &ApnsArgs) -> Result<Webhook, Stop> {
    let reach = if args.webhook_anywhere {
        Reach::Anywhere
    } else {
        Reach::Loopback
    };
    Webhook::resolve(url, reach).map_err(|error| Stop::because(Exit::Usage, error))
}
