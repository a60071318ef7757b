//! The whole story of one device or one command, as lines that an engineer pastes into a bug report.
//!
//! A [`Story`] looks at every fact of a run and keeps those that belong to it. It makes lines; whoever
//! drives it prints them.

use crate::fact::{Fact, FactKind};
use crate::finding::Findings;
use crate::ids::{Channel, DeviceId, OrderIndex};
use crate::metric::{Owner, Phase};
use crate::record::account::{Account, Pending};
use crate::record::life::CommandLife;
use crate::record::setup::Setup;
use crate::time::SimTime;

use super::evidence;
use super::latency::{count, millis, show};
use super::text::Paint;
use super::words::Words;

/// What a story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A device and all its users.
    Device(DeviceId),
    /// An order, with what happened to its channel while it was open.
    Order(Channel, OrderIndex),
}

impl About {
    /// Whose story it is.
    pub const fn device(self) -> DeviceId {
        match self {
            Self::Device(device) => device,
            Self::Order(channel, _) => channel.device,
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was over.
    pub at: SimTime,
    /// What, in words.
    pub what: String,
    /// The request behind it, by its channel and when it was asked for.
    pub request: Option<(Channel, SimTime)>,
    /// Whether it holds until another line says something else: how a command found its device.
    pub is_state: bool,
}

/// More lines of one story are counted, not kept.
const LINES_KEPT: usize = 200_000;

/// How many lines are shown unless all are wanted: as many from the beginning as from the end.
const LINES_SHOWN: usize = 40;

/// The story of one device or command.
#[derive(Debug)]
pub struct Story<'a> {
    setup: &'a Setup,
    about: About,
    lines: Vec<Line>,
    not_kept: u64,
}

impl<'a> Story<'a> {
    /// A story in which nothing has happened yet.
    pub const fn new(setup: &'a Setup, about: About) -> Self {
        Self {
            setup,
            about,
            lines: Vec::new(),
            not_kept: 0,
        }
    }

    /// Takes a fact, if it belongs to the story.
    pub fn look(&mut self, fact: &Fact) {
        if !self.is_about(&fact.kind) {
            return;
        }
        if self.lines.len() >= LINES_KEPT {
            self.not_kept += 1;
            return;
        }
        let request = if let FactKind::Exchange {
            channel, stamps, ..
        } = &fact.kind
        {
            Some((*channel, stamps.asked))
        } else {
            None
        };
        self.lines.push(Line {
            at: fact.at,
            what: Words::new(self.setup).tell(fact.at, &fact.kind),
            request,
            is_state: matches!(
                fact.kind,
                FactKind::Condition { .. } | FactKind::Clock { .. }
            ),
        });
    }

    fn is_about(&self, kind: &FactKind) -> bool {
        if matches!(kind, FactKind::TimeZero) {
            return true;
        }
        match (self.about, kind.order()) {
            (About::Order(_, order), Some(of)) => of == order,
            (About::Device(device), Some(of)) => {
                let info = self.setup.orders.get(of.0 as usize);
                info.is_some_and(|info| info.channel.device == device)
            }
            (About::Device(device), None) => kind.device() == Some(device),
            (About::Order(channel, order), None) => self.is_around(kind, channel, order),
        }
    }

    /// What happens on an order's channel, or to its device; not what is about other orders alone.
    fn is_around(&self, kind: &FactKind, channel: Channel, order: OrderIndex) -> bool {
        if let FactKind::Executed { uuid, .. }
        | FactKind::Refused { uuid, .. }
        | FactKind::DeferralEnded { uuid, .. } = kind
        {
            let is_it = self.setup.book.order(uuid) == Some(order);
            return is_it && kind.channel() == Some(channel);
        }
        let is_aside = matches!(
            kind,
            FactKind::IdentityStep { .. } | FactKind::EventReceived { .. }
        );
        !is_aside
            && kind.device() == Some(channel.device)
            && kind.channel().is_none_or(|of| of == channel)
    }

    /// The lines in order of time; of a command's story those while it was open, and those that name
    /// it at any time.
    pub fn lines(mut self, account: &Account) -> (Vec<Line>, u64) {
        self.lines.sort_by_key(|line| line.at);
        if let About::Order(_, order) = self.about {
            let life = account.lives.iter().find(|life| life.order == order);
            let span = life.map(|life| (life.due, life.ended.map(|(at, _)| at)));
            let named = [format!("order {} ", order.0), format!("order {}", order.0)];
            let found = self
                .lines
                .iter()
                .rposition(|line| line.is_state && span.is_some_and(|(from, _)| line.at < from));
            let mut index = 0;
            self.lines.retain(|line| {
                index += 1;
                let is_within = span.is_some_and(|(from, to)| {
                    // What was under way when it settled is noted a little later.
                    line.at >= from && to.is_none_or(|to| line.at <= to + SETTLED_WITHIN)
                });
                let is_named = line.what.contains(&named[0]) || line.what.ends_with(&named[1]);
                is_within || is_named || found == Some(index - 1)
            });
        }
        (self.lines, self.not_kept)
    }
}

/// How long after a command has settled its device may note that.
const SETTLED_WITHIN: std::time::Duration = std::time::Duration::from_millis(10);

/// Whether all lines are shown, or as many as a screen takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Every line.
    All,
    /// The first and the last.
    Screen,
}

/// The lines as text, with the time since the run began and since the line before. `behind` gives what
/// stands below a request: its bodies, if they were traced.
pub fn told(
    lines: &[Line],
    not_kept: u64,
    length: Length,
    behind: impl Fn(Channel, SimTime) -> Option<String>,
) -> String {
    let half = LINES_SHOWN / 2;
    let hidden = match length {
        Length::Screen if lines.len() > LINES_SHOWN => half..lines.len() - half,
        Length::Screen | Length::All => 0..0,
    };
    let (mut text, mut before) = (String::new(), None);
    for (index, line) in lines.iter().enumerate() {
        if index == hidden.start && !hidden.is_empty() {
            let more = count(hidden.len() as u64);
            text += &format!("                           and {more} more; --all shows them\n");
        }
        let since = match before {
            Some(before) if line.at > before => {
                let micros = line.at.as_micros() - before.as_micros();
                format!("+{}", show(Some(millis(micros))))
            }
            Some(_) | None => String::new(),
        };
        before = Some(line.at);
        if hidden.contains(&index) {
            continue;
        }
        text += &format!("{:>14} {since:>9}  {}\n", line.at.to_string(), line.what);
        let bodies = line
            .request
            .and_then(|(channel, asked)| behind(channel, asked));
        for line in bodies.iter().flat_map(|bodies| bodies.lines()) {
            text += &format!("{:26}| {line}\n", "");
        }
    }
    if not_kept > 0 {
        text += &format!("and {} more that were not kept\n", count(not_kept));
    }
    text
}

/// What comes below the lines: where the time of each command went, why those that are open wait, and
/// the findings that name them.
pub fn sequel(
    about: About,
    (setup, account): (&Setup, &Account),
    findings: &Findings,
    length: Length,
    paint: Paint,
) -> String {
    let is_it = |order: OrderIndex| match about {
        About::Device(_) => true,
        About::Order(_, wanted) => order == wanted,
    };
    let lives: Vec<&CommandLife> = account.lives.iter().filter(|it| is_it(it.order)).collect();
    let mut text = format!("{}\n", paint.heading("commands"));
    let shown = match length {
        Length::All => lives.len(),
        Length::Screen => lives.len().min(LINES_SHOWN / 2),
    };
    // The last ones: those that are open are among them.
    if shown < lives.len() {
        let more = count((lives.len() - shown) as u64);
        text += &format!("   {more} earlier ones; --all shows them\n");
    }
    for life in &lives[lives.len() - shown..] {
        text += &format!("   {}\n", lived(life, (setup, account), paint));
    }
    if lives.is_empty() {
        text += "   none\n";
    }
    text += &waits(about, account, is_it, paint);
    let naming = findings.examples.iter().filter(|finding| match about {
        About::Device(device) => finding.channel.is_some_and(|it| it.device == device),
        About::Order(_, order) => finding.order == Some(order),
    });
    for finding in naming {
        let name = paint.bad(finding.rule.name());
        text += &format!("{name}  {}\n", evidence::about(finding));
        for line in &finding.evidence {
            text += &format!("{:>14}  {}\n", line.at.to_string(), line.what);
        }
    }
    text
}

/// Why open commands wait: those that wait for the same, on one line.
fn waits(
    about: About,
    account: &Account,
    is_it: impl Fn(OrderIndex) -> bool,
    paint: Paint,
) -> String {
    let mut reasons: Vec<(&Pending, Vec<String>)> = Vec::new();
    let pending = account.pending.iter();
    let pending = pending.filter(|it| it.channel.device == about.device() && is_it(it.order));
    for pending in pending {
        let order = pending.order.0.to_string();
        let same = reasons.iter_mut().find(|(first, _)| {
            (first.cause, first.owner, &first.evidence)
                == (pending.cause, pending.owner, &pending.evidence)
        });
        match same {
            Some((_, orders)) => orders.push(order),
            None => reasons.push((pending, vec![order])),
        }
    }
    let mut text = String::new();
    for (first, orders) in reasons {
        let (more, cause) = (orders.len(), paint.doubtful(first.cause.name()));
        let orders = match more {
            1 => format!("order {} is", orders[0]),
            2..=8 => format!("orders {} are", orders.join(", ")),
            _ => format!(
                "orders {} and {} more are",
                orders[..8].join(", "),
                more - 8
            ),
        };
        let (owner, evidence) = (first.owner.name(), &first.evidence);
        text += &format!("   {orders} open: {cause}, owner {owner}: {evidence}\n");
        text += &format!("      try: {}\n", first.cause.remedy());
    }
    text
}

/// One command: how it ended, and where its time went.
fn lived(life: &CommandLife, (setup, account): (&Setup, &Account), paint: Paint) -> String {
    let request = account.requests.get(usize::from(life.request));
    let request = request.map_or("", String::as_str);
    let name = format!("order {} ({request})", life.order.0);
    let user = match life.channel.user {
        0 => String::new(),
        user => format!(" of user {user}"),
    };
    let end = match life.ended {
        Some((_, end)) => end.name().to_owned(),
        None => paint.doubtful("open"),
    };
    let until = life.ended.map_or(account.at, |(at, _)| at);
    let whole = show(Some(millis(
        until.as_micros().saturating_sub(life.due.as_micros()),
    )));
    let mut parts = Vec::new();
    for phase in Phase::ALL {
        for owner in Owner::ALL {
            let micros = life.slices.owned(phase, owner);
            if micros > 0 {
                let took = show(Some(millis(micros)));
                parts.push(format!("{} {took} ({})", phase.name(), owner.name()));
            }
        }
    }
    let (serial, due) = (is_serial(setup, life.order), life.due);
    format!(
        "{name}{user}{serial}, due {due}: {end} in {whole} = {}",
        parts.join(" + ")
    )
}

fn is_serial(setup: &Setup, order: OrderIndex) -> &'static str {
    let info = setup.orders.get(order.0 as usize);
    if info.is_some_and(|info| info.serial) {
        ", serial"
    } else {
        ""
    }
}
