//! One event after another, in order of time: what each means for the stories, and which detectors
//! are asked.

use crate::fact::{Obtaining, ResultStatus};
use crate::ids::{Channel, DeviceId, OrderIndex};
use crate::rule::Rule;
use crate::time::SimTime;

use super::event::{Answer, Event, Exchange, Name, OnChannel, OnDevice, OnOrder, Push, Says};
use super::story::{Refusal, Session};
use super::watch::{Case, Timer};
use super::{
    Detectors, blank_check_in, duplicate_after_ack, early_push, head_of_line_blocked, lost_command,
    lost_on_renewal, no_push, not_now_not_repushed, not_now_spin, not_now_starved, push_storm,
    queue_view, reordered, repeat_storm, stale_after_reenroll, wrong_push,
};

impl Detectors {
    /// Looks at everything whose time comes before `now`.
    pub(super) fn look_until(&mut self, now: SimTime) {
        while let Some((due, _)) = self.timers.first()
            && *due < now
            && let Some((due, timer)) = self.timers.pop_first()
        {
            match timer {
                Timer::Push(channel, order) => no_push::due(&mut self.case(channel), order, due),
                Timer::Repush(channel, name) => {
                    not_now_not_repushed::due(&mut self.case(channel), &name, due);
                }
                Timer::Early(channel) => early_push::due(&mut self.case(channel), due),
            }
        }
    }

    pub(super) fn fold(&mut self, at: SimTime, event: Event) {
        match event {
            Event::Order(order, what) => self.order(at, order, what),
            Event::Channel(channel, what) => self.channel(at, channel, what),
            Event::Device(device, what) => self.device(at, device, what),
            Event::Gateway { trouble } => {
                let gateway = &mut self.watch.gateway;
                gateway.has_pushes |= !trouble;
                if trouble {
                    gateway.trouble = Some(at);
                }
            }
            Event::Refused { since } => self.webhook.refused(&self.watch, (since, at)),
            Event::TimeZero => self.watch.zero = Some(at),
        }
    }

    /// The run is over at `end`.
    pub(super) fn close(&mut self, end: SimTime) {
        let channels: Vec<Channel> = self.stories.iter().map(|(channel, _)| channel).collect();
        for channel in channels {
            let mut case = self.case(channel);
            lost_command::finish(&mut case, end);
            early_push::judge(&mut case, end, early_push::Stage::End);
            queue_view::finish(&mut case);
        }
        self.errors.finish(&self.watch, &mut self.findings);
        self.webhook.finish(&self.watch, end, &mut self.findings);
        if !self.watch.gateway.has_pushes {
            self.findings.drop_rule(Rule::NoPush);
        }
    }

    fn case(&mut self, channel: Channel) -> Case<'_> {
        let device = self.devices.get(&channel.device);
        Case {
            watch: &self.watch,
            device: device.copied().unwrap_or_default(),
            channel,
            story: self.stories.of(channel),
            timers: &mut self.timers,
            found: &mut self.findings,
        }
    }

    // ---- orders, devices, pushes -----------------------------------------------------------

    fn order(&mut self, at: SimTime, order: OrderIndex, what: OnOrder) {
        let Some(channel) = self.watch.channel_of(order) else {
            return;
        };
        let mut case = self.case(channel);
        match what {
            OnOrder::Offered => {
                let promise = case.device.promise();
                case.story.offered(order, at, promise);
                lost_on_renewal::offered(&mut case, order, at);
            }
            OnOrder::Accepted(push) => {
                case.story.accepted(order, at, push);
                no_push::accepted(&mut case, order, at);
            }
            OnOrder::Withdrawn(how) => case.story.withdrawn(order, at, how),
        }
    }

    fn device(&mut self, at: SimTime, device: DeviceId, what: OnDevice) {
        let known = self.devices.entry(device).or_default();
        known.changed = at;
        match what {
            OnDevice::Joined => known.is_managed = true,
            OnDevice::Resumed => (known.is_managed, known.is_resumed) = (true, true),
            OnDevice::Left => {
                known.is_managed = false;
                self.void(device);
            }
            OnDevice::Identity(why) => {
                known.identity = Some(why);
                known.is_copy = why == Obtaining::Clone;
                known.is_between = true;
                self.void(device);
            }
            OnDevice::Clock(is_wrong) => known.has_wrong_clock = is_wrong,
        }
    }

    /// The target may have forgotten what was queued for a device and its users.
    fn void(&mut self, device: DeviceId) {
        for (_, story) in self.stories.of_device_mut(device) {
            story.void();
        }
    }

    fn pushed(&mut self, at: SimTime, channel: Channel, push: &Push) {
        self.watch.gateway.has_pushes = true;
        let is_trouble = push.status != 200 && !push.calls_token_bad;
        if is_trouble {
            self.watch.gateway.trouble = Some(at);
        }
        let mut case = self.case(channel);
        wrong_push::refused(&mut case, push);
        push_storm::pushed(&mut case, push);
        case.story.pushed(push);
    }

    // ---- channels ----------------------------------------------------------------------------

    fn channel(&mut self, at: SimTime, channel: Channel, what: OnChannel) {
        match what {
            OnChannel::Push(push) => self.pushed(at, channel, &push),
            OnChannel::Ignored(push, why) => {
                wrong_push::ignored(&mut self.case(channel), push, why, at);
            }
            OnChannel::Exchange(exchange) => self.exchange(channel, &exchange),
            OnChannel::DeferralEnded(name, back) => {
                not_now_not_repushed::deferral_ended(&mut self.case(channel), &name, back, at);
            }
            OnChannel::SessionEnded => {
                let mut case = self.case(channel);
                head_of_line_blocked::session_ended(&mut case, at);
                case.story.tidy();
            }
            OnChannel::Queue(queue) => {
                let mut told = std::mem::take(&mut self.views);
                queue_view::seen(&mut self.case(channel), &mut told, &queue, at);
                self.views = told;
            }
            OnChannel::Told(event) => {
                let place = (channel, at);
                self.webhook
                    .told(&self.watch, place, &event, &mut self.findings);
            }
        }
    }

    fn exchange(&mut self, channel: Channel, exchange: &Exchange) {
        if let Answer::Status(_) = exchange.answer {
            let mut errors = std::mem::take(&mut self.errors);
            errors.exchanged(&self.case(channel), exchange);
            self.errors = errors;
        }
        self.webhook.exchanged(&self.watch, channel, exchange);
        let is_work = matches!(exchange.says, Says::Idle | Says::Result(..));
        if is_work {
            let story = self.case(channel).story;
            match exchange.answer {
                Answer::Lost => story.last_lost = exchange.sent,
                Answer::Empty | Answer::Command(..) | Answer::Other | Answer::Status(_) => {
                    story.last_heard = exchange.sent;
                }
            }
        }
        match &exchange.says {
            Says::Authenticate => self.authenticated(channel.device, exchange),
            Says::CheckOut => self.void(channel.device),
            Says::TokenUpdate if exchange.answer.is_taken() => {
                let story = self.stories.of(channel);
                story.told = Some((exchange.asked, exchange.read));
                story.is_token_bad = false;
            }
            Says::TokenUpdate | Says::UserAuthenticate | Says::Service => {}
            Says::Idle => self.asked(channel, exchange),
            Says::Result(name, status) => {
                if let Some(name) = name {
                    self.answered(channel, name, *status, exchange);
                }
                let is_empty = exchange.answer == Answer::Empty;
                if is_empty {
                    self.case(channel).story.last_empty = exchange.read;
                }
            }
        }
        head_of_line_blocked::exchanged(&mut self.case(channel), exchange);
        if let Answer::Command(name, request) = &exchange.answer {
            if let Some(request) = request {
                self.delivered_foreign(channel, (name, request), exchange);
            }
            self.delivered(channel, name, exchange);
        }
        if let Some(story) = self.stories.get_mut(channel) {
            story.tidy();
        }
    }

    /// A device has tried to enrol, or to go on with a renewed certificate.
    fn authenticated(&mut self, device: DeviceId, exchange: &Exchange) {
        self.void(device);
        let known = self.devices.entry(device).or_default();
        let is_taken = exchange.answer.is_taken();
        let why = known.identity;
        known.is_between = !is_taken;
        known.changed = exchange.read;
        if !is_taken {
            return;
        }
        known.is_managed = true;
        known.identity = None;
        if why == Some(Obtaining::Renew) {
            known.renewed = Some(exchange.read);
            known.served = None;
            return;
        }
        known.renewed = None;
        // An earlier run may have left it in the middle of a renewal, of which no fact of this one tells.
        if std::mem::take(&mut known.is_resumed) && why.is_none() {
            return;
        }
        for (_, story) in self.stories.of_device_mut(device) {
            let Some(busy) = story.busy.as_mut() else {
                continue;
            };
            for command in busy.open.values_mut() {
                let is_older = command.accepted.is_some_and(|at| at <= exchange.sent);
                if is_older {
                    command.stale_since = Some(exchange.read);
                }
            }
        }
    }

    /// A device has asked for work.
    fn asked(&mut self, channel: Channel, exchange: &Exchange) {
        let mut case = self.case(channel);
        if exchange.answer != Answer::Lost {
            case.story.last_idle = exchange.sent;
        }
        if let Some(busy) = case.story.busy.as_mut() {
            busy.session = Session {
                idle: Some(exchange.sent),
                ..Session::default()
            };
        }
        if exchange.answer == Answer::Empty {
            // Those that are late are no longer early.
            early_push::denied(&mut case, exchange);
            lost_command::denied(&mut case, exchange);
            not_now_starved::denied(&mut case, exchange);
            blank_check_in::denied(&mut case, exchange);
            case.story.last_empty = exchange.read;
        }
    }

    /// A device has sent the status of a command.
    fn answered(
        &mut self,
        channel: Channel,
        name: &Name,
        status: ResultStatus,
        exchange: &Exchange,
    ) {
        let is_taken = exchange.answer.is_taken();
        let story = self.stories.of(channel);
        let was_delivered = story.command(name).is_some_and(|it| it.first.is_some());
        if !was_delivered {
            return;
        }
        if status != ResultStatus::NotNow {
            if let Some(command) = story.command_mut(name) {
                command.was_answered = true;
            }
            if is_taken {
                story.settled(name);
                self.watch.settle(channel, name, exchange.read);
            }
            return;
        }
        let Some(busy) = story.busy.as_mut() else {
            return;
        };
        let Some(command) = busy.open.get_mut(name) else {
            return;
        };
        command.was_answered = true;
        if is_taken && !command.is_void {
            command.refusal = Some(Refusal {
                at: exchange.read,
                over: None,
                overtaken: 0,
                sessions: 0,
                last_session: SimTime::ZERO,
                is_told: false,
            });
            busy.refused.add(name.clone());
            busy.session.refused.entry(name.clone()).or_default();
        }
    }

    /// An answer brought a command that nobody here ordered.
    fn delivered_foreign(
        &mut self,
        channel: Channel,
        (name, request): (&Name, &str),
        exchange: &Exchange,
    ) {
        let mut repeats = std::mem::take(&mut self.repeats);
        let mut case = self.case(channel);
        let is_known =
            case.story.command(name).is_some() || case.watch.settled_at(channel, name).is_some();
        if !is_known {
            repeat_storm::delivered(&mut case, &mut repeats, (name, request), exchange);
        }
        self.repeats = repeats;
    }

    /// An answer brought a command.
    fn delivered(&mut self, channel: Channel, name: &Name, exchange: &Exchange) {
        let mut case = self.case(channel);
        let promise = case.device.promise();
        duplicate_after_ack::delivered(&mut case, name, exchange);
        if case.watch.settled_at(channel, name).is_some() {
            return;
        }
        reordered::delivered(&mut case, name, exchange);
        not_now_spin::delivered(&mut case, name, exchange);
        not_now_starved::delivered(&mut case, name, exchange);
        stale_after_reenroll::delivered(&mut case, name, exchange);
        let early = |case: &Case<'_>| case.story.busy.as_ref().map_or(0, |busy| busy.early.len());
        let before = early(&case);
        case.story.delivered(name, exchange, promise);
        if early(&case) > before {
            early_push::delivered(&mut case);
        }
        let served = lost_on_renewal::served(&case, name);
        if let Some(served) = served
            && let Some(known) = self.devices.get_mut(&channel.device)
        {
            known.served = Some(known.served.map_or(served, |it| it.min(served)));
        }
    }
}
