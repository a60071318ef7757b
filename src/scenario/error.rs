//! What is wrong with a scenario: where, what, and what would be right. All of it at once.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One thing that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// What is wrong, as a lower-case fragment.
    pub message: String,
    /// What would be right.
    pub right: String,
    /// The file's name, or `--set` for an error in an option.
    pub origin: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    source: usize,
    place: Range<usize>,
}

/// Everything that is wrong with a scenario, in the order of the file. Prints each error with its
/// line and a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioErrors {
    errors: Vec<ScenarioError>,
    sources: Vec<Source>,
}

/// Whether an error is printed with colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// For files, pipes and `NO_COLOR`.
    Without,
    /// For terminals.
    With,
}

impl ScenarioErrors {
    /// The errors, in the order of the file; those of `--set` come last.
    pub fn errors(&self) -> &[ScenarioError] {
        &self.errors
    }

    /// All errors as text, each with its line and a caret.
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Without => Renderer::plain(),
            Colour::With => Renderer::styled(),
        }
        .decor_style(DecorStyle::Ascii);
        let blocks: Vec<String> = self
            .errors
            .iter()
            .map(|error| {
                let source = &self.sources[error.source];
                let snippet = Snippet::source(source.text.as_str())
                    .path(source.origin.as_str())
                    .annotation(
                        AnnotationKind::Primary
                            .span(error.place.clone())
                            .label(error.right.as_str()),
                    );
                let title = Level::ERROR.primary_title(error.message.as_str());
                renderer.render(&[title.element(snippet)])
            })
            .collect();
        blocks.join("\n\n")
    }
}

impl fmt::Display for ScenarioErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Without))
    }
}

impl std::error::Error for ScenarioErrors {}

/// A text that errors can point into.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    origin: String,
    text: String,
    /// Where its places begin: those of one source follow those of the one before.
    begins: usize,
}

/// Collects what is wrong while a scenario is read.
#[derive(Debug)]
pub(super) struct Problems {
    sources: Vec<Source>,
    found: Vec<(Range<usize>, String, String)>,
}

impl Problems {
    pub(super) fn new(origin: &str, text: &str) -> Self {
        let source = Source {
            origin: origin.to_owned(),
            text: text.to_owned(),
            begins: 0,
        };
        Self {
            sources: vec![source],
            found: Vec::new(),
        }
    }

    /// Adds a text and says where its places begin.
    pub(super) fn add_source(&mut self, origin: &str, text: &str) -> usize {
        // One byte between two texts keeps the end of one apart from the beginning of the next.
        let begins = self
            .sources
            .last()
            .map_or(0, |last| last.begins + last.text.len() + 1);
        self.sources.push(Source {
            origin: origin.to_owned(),
            text: text.to_owned(),
            begins,
        });
        begins
    }

    pub(super) fn add(
        &mut self,
        place: &Range<usize>,
        message: impl Into<String>,
        right: impl Into<String>,
    ) {
        self.found
            .push((place.clone(), message.into(), right.into()));
    }

    /// Hides a place of the source: errors show the line they are about, secrets included.
    pub(super) fn mask(&mut self, place: &Range<usize>) {
        let index = self.source_at(place.start);
        let source = &mut self.sources[index];
        let from = floor_boundary(&source.text, place.start - source.begins);
        let to = floor_boundary(&source.text, place.end.saturating_sub(source.begins)).max(from);
        // Byte by byte, so that all other places stay where they are.
        let masked = "*".repeat(to - from);
        source.text.replace_range(from..to, &masked);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The line of a place, for later messages about it: `quickstart.toml:12`.
    pub(super) fn line_of(&self, place: &Range<usize>) -> String {
        let source = &self.sources[self.source_at(place.start)];
        let at = (place.start - source.begins).min(source.text.len());
        format!(
            "{}:{}",
            source.origin,
            source.text[..at].matches('\n').count() + 1
        )
    }

    pub(super) fn into_errors(mut self) -> ScenarioErrors {
        self.found.sort_by_key(|(place, ..)| place.start);
        self.found.dedup();
        let found = std::mem::take(&mut self.found);
        let errors = found
            .into_iter()
            .map(|(place, message, right)| self.located(place, message, right))
            .collect();
        ScenarioErrors {
            errors,
            sources: self.sources,
        }
    }

    fn source_at(&self, at: usize) -> usize {
        self.sources
            .partition_point(|source| source.begins <= at)
            .saturating_sub(1)
    }

    fn located(&self, place: Range<usize>, message: String, right: String) -> ScenarioError {
        let index = self.source_at(place.start);
        let source = &self.sources[index];
        let text = &source.text;
        let start = floor_boundary(text, place.start - source.begins);
        // A caret under one line says enough about a table that spans many.
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor_boundary(text, place.end.saturating_sub(source.begins))
            .min(line_end)
            .max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        ScenarioError {
            message,
            right,
            origin: source.origin.clone(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            source: index,
            place: start..end,
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// `did you mean ..` when one of `names` is near `written`, else what there is to choose from.
pub fn suggest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let near = names
        .iter()
        .map(|name| {
            let score = strsim::jaro_winkler(&written.to_lowercase(), &name.to_lowercase());
            (score, *name)
        })
        .filter(|(score, _)| *score > NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, name)) => format!("did you mean \"{name}\"?"),
        None if names.is_empty() => "there is none to choose from".to_owned(),
        None if names.len() > LISTED => {
            format!("one of \"{}\", ..", names[..LISTED].join("\", \""))
        }
        None => format!("one of \"{}\"", names.join("\", \"")),
    }
}

/// How alike a suggestion must be: `cuont` and `count` are 0.88, `foo` and `for` 0.82.
const NEAR: f64 = 0.84;

/// No list of choices is longer than a line can hold.
const LISTED: usize = 14;
