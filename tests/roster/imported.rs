//! A device that exists elsewhere is played here: under its own names, and pushes find it.

use serde_json::Value;

use crate::place::{Place, SCENARIO};

/// A device that enrolled by itself once, as somebody would capture it.
struct Elsewhere {
    udid: String,
    token: Vec<u8>,
    magic: String,
    topic: String,
}

impl Elsewhere {
    /// Device 7 of the roster `kept`, whose identity is written to `secret`.
    fn of(place: &Place) -> Self {
        let show = ["roster", "show", "7", "--json", "--roster", "kept"];
        let (_, said) = place.mdmstorm(&show);
        let shown: Value = serde_json::from_str(&said).unwrap();
        let text = |key: &str| shown[key].as_str().unwrap().to_owned();
        let export = "roster export --roster kept --device 7 --with-keys --to secret";
        let export: Vec<&str> = export.split(' ').collect();
        assert_eq!(place.mdmstorm(&export).0, 0);
        let state = mdmstorm::engine::state::State::open(&place.path("state")).unwrap();
        Self {
            udid: text("udid"),
            token: mdmstorm::ids::hex_decode(&text("push-token")).unwrap(),
            magic: text("push-magic"),
            topic: state.topic,
        }
    }

    fn write(&self, place: &Place, token: &[u8]) {
        use base64::Engine as _;
        let plist = |keys: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>\
                 <key>UDID</key><string>{}</string><key>Topic</key><string>{}</string>{keys}</dict>\
                 </plist>",
                self.udid, self.topic
            )
        };
        place.write(
            "auth.plist",
            &plist(
                "<key>MessageType</key><string>Authenticate</string><key>SerialNumber</key>\
                 <string>F9FXH0XXXXXX</string><key>ProductName</key><string>iPad13,18</string>\
                 <key>OSVersion</key><string>18.1</string>",
            ),
        );
        let token = base64::engine::general_purpose::STANDARD.encode(token);
        place.write(
            "token.plist",
            &plist(&format!(
                "<key>MessageType</key><string>TokenUpdate</string><key>Token</key><data>{token}\
                 </data><key>PushMagic</key><string>{}</string>",
                self.magic
            )),
        );
    }

    fn import(&self, place: &Place) -> (i32, String) {
        let file = |end: &str| format!("secret/{}.{end}", self.udid);
        place.mdmstorm(&[
            "roster",
            "import",
            "--roster",
            "one",
            "--authenticate",
            "auth.plist",
            "--token-update",
            "token.plist",
            "--certificate",
            &file("pem"),
            "--key",
            &file("key"),
        ])
    }
}

#[test]
fn an_imported_device_is_commanded_under_its_own_names() {
    let place = Place::new(SCENARIO);
    let server = place.serve();
    place.mdmstorm(&["enroll", "s.toml", "--roster", "kept", "--quiet"]);
    let device = Elsewhere::of(&place);
    device.write(&place, &device.token);
    let (code, said) = device.import(&place);
    let expected = format!(
        "{} is device 0 of one from now on; the scenario's device 0 has to be of the model iPad13,18",
        device.udid
    );
    assert_eq!((code, said), (0, expected));
    // The server pushes to the token it knows, which is another device's without the import.
    place.write(
        "s.toml",
        &place.scenario(&SCENARIO.replace("count = 20", "count = 1")),
    );
    let (code, said) = place.mdmstorm(&["run", "s.toml", "--roster", "one", "--quiet"]);
    assert!(said.contains("2 of 2 commands completed"), "{said}");
    assert_eq!(code, 0, "{said}");
    assert_eq!(server.seen(), (20, 20, 20, 0));
}

#[test]
fn its_identity_may_be_in_a_file_with_a_password() {
    let place = Place::new(SCENARIO);
    let _server = place.serve();
    place.mdmstorm(&["enroll", "s.toml", "--roster", "kept", "--quiet"]);
    let device = Elsewhere::of(&place);
    device.write(&place, &device.token);
    let file = |end: &str| format!("secret/{}.{end}", device.udid);
    let exported = std::process::Command::new("openssl")
        .args([
            "pkcs12",
            "-export",
            "-passout",
            "pass:sesame",
            "-out",
            "device.p12",
        ])
        .args(["-in", &file("pem"), "-inkey", &file("key")])
        .current_dir(place.path(""))
        .status();
    if exported.is_err() {
        return;
    }
    let import = |password: Option<&str>| {
        let mut import = place.command(&["roster", "import", "--roster", "one"]);
        import.args([
            "--authenticate",
            "auth.plist",
            "--token-update",
            "token.plist",
        ]);
        import.args(["--pkcs12", "device.p12"]);
        if let Some(password) = password {
            import.args(["--password-env", "P12"]).env("P12", password);
        }
        let output = import.output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), said)
    };
    let refused = "error: the device cannot be taken in: its identity: the password of the PKCS#12 file \
                   is wrong\n";
    assert_eq!(import(None), (2, refused.to_owned()));
    assert_eq!(import(Some("simsim")), (2, refused.to_owned()));
    assert!(!place.exists("one"));
    let (code, said) = import(Some("sesame"));
    assert_eq!(code, 0, "{said}");
    place.write(
        "s.toml",
        &place.scenario(&SCENARIO.replace("count = 20", "count = 1")),
    );
    let (_, said) = place.mdmstorm(&["run", "s.toml", "--roster", "one", "--quiet"]);
    assert!(said.contains("2 of 2 commands completed"), "{said}");
}

#[test]
fn a_device_that_cannot_be_played_is_refused() {
    let place = Place::new(SCENARIO);
    let _server = place.serve();
    place.mdmstorm(&["enroll", "s.toml", "--roster", "kept", "--quiet"]);
    let device = Elsewhere::of(&place);
    device.write(&place, &device.token[..31]);
    let says = "error: the device cannot be taken in: its push token has 31 bytes; only tokens of 32 \
                bytes can be routed here";
    assert_eq!(device.import(&place), (2, says.to_owned()));
    device.write(&place, &device.token);
    std::fs::copy(place.path("auth.plist"), place.path("token.plist")).unwrap();
    let says = "error: the device cannot be taken in: a TokenUpdate message was expected, but it is \
                another one";
    assert_eq!(device.import(&place), (2, says.to_owned()));
    assert!(!place.exists("one"));
}
