//! Where the files are that a scenario names.

use std::path::Path;

use super::{Scenario, Target};

impl Scenario {
    /// Leads every path to where it is: a scenario names files relative to itself, in `folder`. Those of
    /// commands are not among them: whoever builds commands reads them.
    pub fn locate(&mut self, folder: &Path) {
        self.enrollment.locate(folder);
        self.apns.locate(folder);
        let ca = match &mut self.target {
            Target::Embedded(_) => &mut None,
            Target::Nanomdm(it) | Target::Micromdm(it) => &mut it.ca,
            Target::Observe(it) => &mut it.ca,
        };
        if let Some(path) = ca {
            *path = folder.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Method, ProfileFrom};

    const SCENARIO: &str = r#"name = "paths"
TARGET
[enrollment.profile]
file = "a.mobileconfig"
[apns]
push-certificate = "push.pem"
push-key = "push.key"
[[apns.provider-keys]]
key-id = "ABCDE12345"
team-id = "TEAM123456"
public-key = "/etc/provider.pem"
[[cohorts]]
name = "all"
count = 1
preset = "always-on"
[[stages]]
name = "ask"
duration = "1s"
commands = [{ request = "SecurityInfo", each = 1 }]
"#;

    fn located(target: &str) -> Scenario {
        let text = SCENARIO.replace("TARGET", target);
        let mut scenario = Scenario::parse(&text, "s.toml").unwrap_or_else(|e| panic!("{e}"));
        scenario.locate(Path::new("school"));
        scenario
    }

    /// The profile's path was relative to the scenario, and those of authorities to wherever mdmstorm
    /// was started.
    #[test]
    fn paths_are_relative_to_the_scenario() {
        let scenario = located(
            "[target.nanomdm]\nurl = \"https://127.0.0.1:9000\"\napi-key = { env = \"KEY\" }\n\
             ca = \"ca.pem\"",
        );
        let Target::Nanomdm(target) = &scenario.target else {
            panic!("{:?}", scenario.target);
        };
        assert_eq!(target.ca.as_deref(), Some(Path::new("school/ca.pem")));
        let Method::Profile(source) = &scenario.enrollment.method else {
            panic!("{:?}", scenario.enrollment.method);
        };
        let file = ProfileFrom::File(Path::new("school/a.mobileconfig").to_owned());
        assert_eq!(source.from, file);
        let apns = &scenario.apns;
        let push = [&apns.push_certificate, &apns.push_key].map(|it| it.as_deref());
        let right = ["school/push.pem", "school/push.key"].map(|it| Some(Path::new(it)));
        assert_eq!(push, right);
        // What begins at the root stays there.
        let key = &apns.provider_keys[0].public_key;
        assert_eq!(key, Path::new("/etc/provider.pem"));

        let scenario = located(
            "[target.observe]\nurl = \"https://127.0.0.1:9000\"\nca = \"certificates/ca.pem\"",
        );
        let Target::Observe(target) = &scenario.target else {
            panic!("{:?}", scenario.target);
        };
        let right = Path::new("school/certificates/ca.pem");
        assert_eq!(target.ca.as_deref(), Some(right));
    }

    #[test]
    fn the_authority_of_issued_identities_is_beside_the_scenario() {
        let text = SCENARIO
            .replace("TARGET", "[target.embedded]")
            .replace("[enrollment.profile]", "[enrollment.issued]")
            .replace(
                "file = \"a.mobileconfig\"",
                "ca = \"ca.pem\"\nca-key = \"ca.key\"",
            );
        let mut scenario = Scenario::parse(&text, "s.toml").unwrap_or_else(|e| panic!("{e}"));
        scenario.locate(Path::new("school"));
        let enrollment = &scenario.enrollment;
        let found = [&enrollment.ca, &enrollment.ca_key].map(|it| it.as_deref());
        let right = ["school/ca.pem", "school/ca.key"].map(|it| Some(Path::new(it)));
        assert_eq!(found, right);
    }
}
