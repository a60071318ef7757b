//! The channels of a device's users at the reference server, and commands that are taken back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use mdmstorm::ids::CommandUuid;
use mdmstorm::protocol::checkin::{Authenticate, CheckIn, CheckOut, TokenUpdate, User};
use mdmstorm::protocol::command::{Command, encode_command};
use mdmstorm::protocol::status_report::{Status, StatusReport, idle, idle_of};
use mdmstorm::reference_server::{Identity, Server, Settings, WithPush};
use mdmstorm::time::SimTime;

const UDID: &str = "DEVICE";
const MINE: Identity = Identity([1; 32]);

/// A Mac that has enrolled, with two users who can.
struct Mac {
    server: Server,
    users: [User; 2],
}

impl Mac {
    fn enrolled() -> Self {
        let user = |name: &str| User {
            id: format!("GUID-{name}"),
            short_name: name.to_owned(),
            long_name: name.to_owned(),
            not_on_console: Some(false),
        };
        let mut mac = Self {
            server: Server::new(Settings::default()),
            users: [user("ada"), user("bob")],
        };
        assert_eq!(mac.authenticate(), 200);
        assert_eq!(mac.token_update(None), 200);
        mac
    }

    fn authenticate(&mut self) -> u16 {
        self.check_in(&CheckIn::Authenticate(Authenticate {
            udid: UDID.into(),
            topic: "topic".into(),
            os_version: None,
            build: None,
            product: None,
            serial: None,
            imei: None,
            meid: None,
            mac: None,
        }))
    }

    /// Of the device, or of one of the users.
    fn token_update(&mut self, user: Option<usize>) -> u16 {
        self.check_in(&CheckIn::TokenUpdate(TokenUpdate {
            udid: UDID.into(),
            topic: "topic".into(),
            token: vec![user.map_or(0, |user| user as u8 + 1); 32],
            magic: "magic".into(),
            unlock_token: None,
            user: user.map(|user| self.users[user].clone()),
            awaiting_configuration: false,
            auth_token: None,
        }))
    }

    fn check_in(&mut self, message: &CheckIn) -> u16 {
        let body = message.encode();
        self.server
            .check_in(SimTime::ZERO, Some(MINE), &body)
            .status
    }

    fn id(&self, user: usize) -> String {
        self.users[user].enrollment_id(UDID)
    }

    /// Queues a command for an enrollment; the first byte of the token its push goes to.
    fn enqueue(&mut self, id: &str, uuid: &str) -> Option<u8> {
        let mut command = plist::Dictionary::new();
        command.insert("RequestType".into(), "ProfileList".into());
        let body = encode_command(uuid, &command);
        let ids = [id.to_owned()];
        let submission = self
            .server
            .enqueue(SimTime::ZERO, &ids, &body, WithPush::Yes);
        submission.pushes.first().map(|push| push.token[0])
    }

    /// What a channel is given when it says this.
    fn says(&mut self, user: Option<usize>, status: Status, uuid: &str) -> Result<String, u16> {
        let report = StatusReport {
            udid: UDID.into(),
            user: user.map(|user| self.users[user].clone()),
            status,
            uuid: Some(CommandUuid(uuid.into())),
            error_chain: Vec::new(),
            payload: plist::Dictionary::new(),
        };
        self.connect(&report.encode())
    }

    fn idle(&mut self, user: Option<usize>) -> Result<String, u16> {
        let body = match user {
            None => idle(UDID),
            Some(user) => idle_of(UDID.into(), Some(self.users[user].clone())),
        };
        self.connect(&body)
    }

    /// The CommandUUID of the answer, empty for none, or the status that is not 200.
    fn connect(&mut self, body: &[u8]) -> Result<String, u16> {
        let reply = self.server.connect(SimTime::ZERO, Some(MINE), body);
        match (reply.status, reply.body.is_empty()) {
            (200, true) => Ok(String::new()),
            (200, false) => Ok(Command::decode(&reply.body)
                .unwrap()
                .uuid
                .unwrap()
                .to_string()),
            (status, _) => Err(status),
        }
    }
}

#[test]
fn device_and_users_have_each_their_own_queue_token_and_session() {
    let mut mac = Mac::enrolled();
    assert_eq!(mac.token_update(Some(0)), 200);
    assert_eq!(mac.token_update(Some(1)), 200);
    let (ada, bob) = (mac.id(0), mac.id(1));
    assert_eq!(mac.enqueue(UDID, "D"), Some(0));
    assert_eq!(mac.enqueue(&ada, "A"), Some(1));
    assert_eq!(mac.enqueue(&bob, "B"), Some(2));
    // All three sessions at once.
    assert_eq!(mac.idle(Some(0)), Ok("A".into()));
    assert_eq!(mac.idle(None), Ok("D".into()));
    assert_eq!(mac.idle(Some(1)), Ok("B".into()));
    // One's result settles nothing of another's.
    assert_eq!(mac.says(Some(1), Status::Acknowledged, "A"), Ok("B".into()));
    for (user, uuid) in [(None, "D"), (Some(0), "A"), (Some(1), "B")] {
        assert_eq!(mac.says(user, Status::Acknowledged, uuid), Ok("".into()));
    }
}

#[test]
fn a_user_comes_only_with_an_enrolled_device_and_after_its_own_token() {
    let mut mac = Mac::enrolled();
    assert_eq!(mac.idle(Some(0)), Err(500));
    let ada = mac.id(0);
    assert_eq!(mac.enqueue(&ada, "A"), None);
    let stranger = Identity([2; 32]);
    let body = idle_of(UDID.into(), Some(mac.users[0].clone()));
    assert_eq!(mac.token_update(Some(0)), 200);
    let reply = mac.server.connect(SimTime::ZERO, Some(stranger), &body);
    assert_eq!(reply.status, 500);
    assert_eq!(mac.idle(Some(0)), Ok("".into()));
}

#[test]
fn authenticate_clears_the_channels_of_all_users() {
    let mut mac = Mac::enrolled();
    mac.token_update(Some(0));
    let ada = mac.id(0);
    mac.enqueue(UDID, "D");
    mac.enqueue(&ada, "A");
    assert_eq!(mac.authenticate(), 200);
    assert_eq!(mac.server.open_commands(UDID), 0);
    assert_eq!(mac.server.open_commands(&ada), 0);
    // The user's old token is not used before the user has sent another.
    assert_eq!(mac.enqueue(&ada, "B"), None);
    assert_eq!(mac.token_update(Some(0)), 200);
    assert_eq!(mac.enqueue(&ada, "C"), Some(1));
}

#[test]
fn users_leave_with_their_device() {
    let mut mac = Mac::enrolled();
    mac.token_update(Some(0));
    let left = CheckIn::CheckOut(CheckOut {
        udid: UDID.into(),
        topic: "topic".into(),
    });
    assert_eq!(mac.check_in(&left), 200);
    assert_eq!(mac.idle(Some(0)), Err(500));
    assert_eq!(mac.token_update(Some(0)), 500);
    let ada = mac.id(0);
    assert_eq!(mac.enqueue(&ada, "A"), None);
}

#[test]
fn a_device_cannot_take_the_name_of_a_user() {
    let mut server = Server::new(Settings::default());
    let message = CheckIn::Authenticate(Authenticate {
        udid: "DEVICE:GUID-ada".into(),
        topic: "topic".into(),
        os_version: None,
        build: None,
        product: None,
        serial: None,
        imei: None,
        meid: None,
        mac: None,
    });
    let reply = server.check_in(SimTime::ZERO, Some(MINE), &message.encode());
    assert_eq!(reply.status, 400);
}

#[test]
fn a_cancelled_command_is_not_offered_and_its_result_is_no_concern() {
    let mut mac = Mac::enrolled();
    for uuid in ["A", "B", "C"] {
        mac.enqueue(UDID, uuid);
    }
    let cancel = |mac: &mut Mac, uuid: &str| mac.server.cancel(UDID, &CommandUuid(uuid.into()));
    assert_eq!(mac.idle(None), Ok("A".into()));
    assert!(cancel(&mut mac, "A") && cancel(&mut mac, "B"));
    assert!(!cancel(&mut mac, "A") && !cancel(&mut mac, "X"));
    assert_eq!(mac.says(None, Status::Acknowledged, "A"), Ok("C".into()));
    // The CommandUUID stays used.
    assert_eq!(mac.enqueue(UDID, "B"), None);
    assert!(cancel(&mut mac, "C"));
    assert_eq!(mac.server.deadline(), None);
    assert_eq!(mac.idle(None), Ok("".into()));
}
