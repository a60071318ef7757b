//! `mdmstorm doctor`: the limits of this machine, the target, and the gateway's own test push.

use std::time::Duration;

use super::args::DoctorArgs;
use super::load;
use super::print::{Stop, say};
use crate::engine::alone::{Alone, Event, Manner};
use crate::engine::front::{Doors, Listeners};
use crate::engine::gateway::lookout::{Seen, Verdict};
use crate::engine::limits::Limits;
use crate::engine::push_client::{PushClient, PushTarget};
use crate::engine::run::{greet, push_credential};
use crate::engine::state::State;
use crate::ids::{Channel, DeviceId};
use crate::reference_server::{PushOrder, PushResult, Ticket};
use crate::report::exit::Exit;
use crate::scenario::{Changes, Scenario, Target};

/// How long the test push may take.
const PUSH_MAX: Duration = Duration::from_secs(10);

/// What was found, and the worst of it.
#[derive(Debug, Default)]
struct Findings {
    text: String,
    failed: Vec<Exit>,
}

impl Findings {
    fn ok(&mut self, what: &str, found: impl std::fmt::Display) {
        self.text.push_str(&format!("  ok    {what:<12} {found}\n"));
    }

    fn bad(&mut self, exit: Exit, what: &str, found: impl std::fmt::Display) {
        self.text.push_str(&format!("  FAIL  {what:<12} {found}\n"));
        self.failed.push(exit);
    }
}

pub(super) fn run(args: &DoctorArgs) -> Result<u8, Stop> {
    let scenario = match &args.scenario {
        Some(path) => Some(load::scenario_file(path, &Changes::default())?),
        None => None,
    };
    let folder = load::state_folder(&args.state)?;
    let mut findings = Findings::default();
    machine(&mut findings, scenario.as_ref());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Stop::because(Exit::Unexpected, error))?;
    match State::open(&folder) {
        Ok(state) => {
            findings.ok("state", folder.display());
            runtime.block_on(gateway(&mut findings, scenario.as_ref(), &state));
        }
        Err(error) => findings.bad(Exit::Unexpected, "state", error),
    }
    if let Some(scenario) = &scenario {
        runtime.block_on(target(&mut findings, scenario, args.allow_public_target));
    }
    say(&findings.text);
    let code = Exit::first(&findings.failed);
    say(if code == 0 {
        "all is well"
    } else {
        "something stands in the way of a run"
    });
    Ok(code)
}

fn machine(findings: &mut Findings, scenario: Option<&Scenario>) {
    let limits = Limits::of_this_machine();
    let devices = scenario.map_or(0, |scenario| u64::from(scenario.devices()));
    let in_flight = scenario.map_or(0, |scenario| scenario.operator.in_flight);
    match limits.check(devices, 0, in_flight) {
        Ok(()) => findings.ok(
            "descriptors",
            format!(
                "{}, so {} device sockets at once",
                limits.descriptors,
                limits.sockets(in_flight)
            ),
        ),
        Err(error) => findings.bad(Exit::Unexpected, "limits", error),
    }
    findings.ok("cores", limits.cores);
    let memory = limits
        .memory
        .map_or_else(|| "unknown".into(), |m| format!("{} MiB free", m >> 20));
    findings.ok("memory", memory);
    match limits.ports {
        Some(ports) => findings.ok("ports", format!("{ports} per source address")),
        None => findings.ok("ports", "unknown"),
    }
}

/// Binds the scenario's ports and pushes to itself, through TLS with the push certificate.
async fn gateway(findings: &mut Findings, scenario: Option<&Scenario>, state: &State) {
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let (listen, proxy) = scenario.map_or((any, None), |s| (s.apns.listen, s.apns.connect_proxy));
    let doors = Doors {
        direct: listen,
        further: Vec::new(),
        proxy,
        plain: None,
        admin: None,
        events: scenario.and_then(|scenario| scenario.target.webhook()),
    };
    let listeners = match Listeners::open(&doors) {
        Ok(listeners) => listeners,
        Err(error) => return findings.bad(Exit::Unexpected, "gateway", error),
    };
    let address = listeners.direct_address().unwrap_or(listen);
    match tokio::time::timeout(PUSH_MAX, own_push(listeners, scenario, state)).await {
        Ok(Ok(())) => findings.ok("gateway", format!("{address} received its own test push")),
        Ok(Err(error)) => findings.bad(Exit::Unexpected, "gateway", error),
        Err(_) => findings.bad(
            Exit::Unexpected,
            "gateway",
            "its own test push did not arrive",
        ),
    }
}

async fn own_push(
    listeners: Listeners,
    scenario: Option<&Scenario>,
    state: &State,
) -> anyhow::Result<()> {
    let address = listeners.direct_address()?;
    let (push, topic) = match scenario {
        Some(scenario) => push_credential(scenario, state)?,
        None => (state.push.clone(), state.topic.clone()),
    };
    let mut alone = Alone::start(listeners, state, &push, &topic, Manner::default())?;
    let target = PushTarget {
        address,
        server_name: "api.push.apple.com".into(),
        authority: Some(state.apns_authority.certificate_pem()),
        expires_after: None,
    };
    let channel = Channel::device(DeviceId(0));
    let order = PushOrder {
        ticket: Ticket::default(),
        id: state.crowd.udid(channel.device).into(),
        topic,
        token: state.crowd.token(channel, 0).0.to_vec(),
        magic: state.crowd.magic(channel, 0),
    };
    let answer = PushClient::new(target, &push)?.push(&order).await;
    let seen = alone.next().await;
    alone.stop();
    let accepted = |seen: &Seen| seen.verdict == Verdict::ACCEPTED;
    match (answer, seen) {
        (PushResult::Accepted { .. }, Some(Event::Push(seen))) if accepted(&seen) => Ok(()),
        (answer, seen) => {
            anyhow::bail!("the test push was answered with {answer:?}, seen as {seen:?}")
        }
    }
}

async fn target(findings: &mut Findings, scenario: &Scenario, allow_public: bool) {
    if matches!(scenario.target, Target::Embedded(_)) {
        return findings.ok("target", "embedded: starts with the run");
    }
    let key = super::run::api_key(scenario);
    match greet(scenario, key, allow_public).await {
        Ok(found) => findings.ok("target", found),
        Err(error) => {
            let exit = if error.is_usage() {
                Exit::Usage
            } else {
                Exit::TargetUnreachable
            };
            findings.bad(exit, "target", error);
        }
    }
}
