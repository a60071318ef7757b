//! Apps: install, remove, and the two lists.

use ::plist::{Dictionary, Value};

use super::{Effect, Outcome, Subject, Trait, dictionary, text, texts};
use crate::protocol::error_chain::ErrorItem;
use crate::protocol::request_types::System;

pub(super) fn install(request: &Dictionary, device: &Subject<'_>) -> Outcome {
    let store_id = request
        .get("iTunesStoreID")
        .and_then(Value::as_signed_integer);
    let identifier = match (text(request, "Identifier"), store_id) {
        ("", Some(store_id)) => format!("com.example.store{store_id}"),
        // The bundle identifier stands in a manifest that nobody downloads here.
        ("", None) if !text(request, "ManifestURL").is_empty() => "com.example.manifest".to_owned(),
        ("", None) => {
            let mut outcome = Outcome::error(vec![ErrorItem::app_not_identified()]);
            let reason = match device.system() {
                // A Mac never says more (Apple's schema).
                System::Macos => "Other",
                System::Ios | System::Tvos => "CouldNotVerifyAppID",
            };
            outcome.payload = dictionary([("RejectionReason", reason.into())]);
            return outcome;
        }
        (identifier, _) => identifier.to_owned(),
    };
    let payload = match device.system() {
        // A Mac acknowledges once the parameters are checked, and says no more.
        System::Macos => Dictionary::new(),
        System::Ios | System::Tvos => dictionary([
            ("Identifier", identifier.as_str().into()),
            ("State", "Installing".into()),
        ]),
    };
    Outcome::acknowledged(payload).with(Effect::ApplicationInstalled(identifier))
}

pub(super) fn remove(request: &Dictionary, device: &Subject<'_>) -> Outcome {
    let identifier = text(request, "Identifier");
    let contents = device.inventory.contents();
    match contents.and_then(|contents| contents.applications.get(identifier)) {
        Some(true) => Outcome::done().with(Effect::ApplicationRemoved(identifier.to_owned())),
        Some(false) | None => Outcome::error(vec![ErrorItem::app_not_managed(identifier)]),
    }
}

pub(super) fn managed(request: &Dictionary, device: &Subject<'_>) -> Outcome {
    let wanted = texts(request, "Identifiers");
    let entries: Dictionary = managed_apps(device)
        .filter(|(identifier, _)| is_wanted(wanted.as_deref(), identifier))
        .map(|(identifier, is_there)| {
            let status = if is_there {
                "Managed"
            } else {
                "ManagedButUninstalled"
            };
            let entry = dictionary([
                ("Status", status.into()),
                ("ManagementFlags", Value::Integer(1.into())),
                ("HasConfiguration", Value::Boolean(false)),
                ("HasFeedback", Value::Boolean(false)),
                ("IsValidated", Value::Boolean(is_there)),
            ]);
            (identifier.to_owned(), Value::Dictionary(entry))
        })
        .collect();
    Outcome::acknowledged(dictionary([("ManagedApplicationList", entries.into())]))
}

pub(super) fn installed(request: &Dictionary, device: &Subject<'_>) -> Outcome {
    let wanted = texts(request, "Identifiers");
    let managed_only = request.get("ManagedAppsOnly").and_then(Value::as_boolean) == Some(true);
    let mut draw = device.draw(Trait::Applications);
    let mut entries = Vec::new();
    for (identifier, name) in CATALOGUE {
        // Drawn for every app, so that a filter does not change what the others look like.
        let (is_there, version, megabytes) =
            (draw.chance(0.6), 1 + draw.below(9), 5 + draw.below(900));
        if is_there && !managed_only && is_wanted(wanted.as_deref(), identifier) {
            entries.push(entry(identifier, name, version, megabytes));
        }
    }
    for (identifier, is_there) in managed_apps(device) {
        if is_there && is_wanted(wanted.as_deref(), identifier) {
            let name = identifier.rsplit('.').next().unwrap_or(identifier);
            entries.push(entry(identifier, name, 1, 40));
        }
    }
    Outcome::acknowledged(dictionary([(
        "InstalledApplicationList",
        Value::Array(entries),
    )]))
}

fn entry(identifier: &str, name: &str, version: u64, megabytes: u64) -> Value {
    let version = format!("{version}.0");
    let bytes = megabytes * 1_000_000;
    Value::Dictionary(dictionary([
        ("Identifier", identifier.into()),
        ("Name", name.into()),
        ("Version", version.as_str().into()),
        ("ShortVersion", version.as_str().into()),
        ("BundleSize", Value::Integer(bytes.into())),
        ("DynamicSize", Value::Integer((bytes / 10).into())),
        ("Installing", Value::Boolean(false)),
        ("IsValidated", Value::Boolean(true)),
    ]))
}

fn managed_apps<'a>(device: &Subject<'a>) -> impl Iterator<Item = (&'a str, bool)> {
    let contents = device.inventory.contents();
    contents
        .into_iter()
        .flat_map(|contents| &contents.applications)
        .map(|(identifier, is_there)| (identifier.as_str(), *is_there))
}

/// No list means all.
fn is_wanted(wanted: Option<&[&str]>, identifier: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.contains(&identifier))
}

/// Apps of which a device has some. The names are invented.
const CATALOGUE: [(&str, &str); 24] = [
    ("com.example.algebra", "Algebra"),
    ("com.example.atlas", "Atlas"),
    ("com.example.biology", "Biology Lab"),
    ("com.example.browser", "Browser"),
    ("com.example.calendar", "Timetable"),
    ("com.example.chemistry", "Chemistry"),
    ("com.example.classroom", "Class Hub"),
    ("com.example.coding", "Learn to Code"),
    ("com.example.dictionary", "Dictionary"),
    ("com.example.drawing", "Drawing"),
    ("com.example.flashcards", "Flashcards"),
    ("com.example.geometry", "Geometry"),
    ("com.example.history", "History"),
    ("com.example.library", "Library"),
    ("com.example.mail", "Mail"),
    ("com.example.meetings", "Meetings"),
    ("com.example.music", "Music Studio"),
    ("com.example.notes", "Notes"),
    ("com.example.office", "Office"),
    ("com.example.photos", "Photo Editor"),
    ("com.example.quiz", "Quiz"),
    ("com.example.reader", "Reader"),
    ("com.example.science", "Science"),
    ("com.example.video", "Video"),
];
