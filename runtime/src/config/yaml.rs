//! YAML text to a tree with lines, by serde-saphyr's own parser. Anchors, aliases, tags and several documents are
//! refused: a configuration says what it means where it says it.

use std::collections::HashSet;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::{
    Problems,
    node::{Content, Node, Origin, member},
};

/// Deepest nesting; the deepest real configuration has 6 levels.
pub(super) const DEPTH_MAX: usize = 32;

/// The document, an empty mapping if nothing is written; `None` with the reason in `problems`.
pub(super) fn parse(text: &str, problems: &mut Problems) -> Option<Node> {
    let mut reader = Reader { events: Parser::new_from_str(text), problems };
    match reader.document() {
        Ok(node) => Some(node),
        Err(stop) => {
            let stop = tab(text, stop.line).unwrap_or(stop);
            problems.push(Origin::Line(stop.line), "", stop.message);
            None
        }
    }
}

/// A tab in the indentation of the line where reading stopped, or of the next: the parser then blames what is before.
fn tab(text: &str, stopped: usize) -> Option<Stop> {
    let lines = text.lines().zip(1..).skip(stopped.saturating_sub(1)).take(2);
    let indentation = |line: &str| {
        line.find(|char: char| !char.is_whitespace())
            .and_then(|end| line.get(..end))
            .is_some_and(|begin| begin.contains('\t'))
    };
    let (_text, line) = lines.into_iter().find(|(line, _number)| indentation(line))?;
    Some(Stop { line, message: "YAML indents with spaces, not tabs".to_owned() })
}

/// Where and why reading cannot go on.
struct Stop {
    line: usize,
    message: String,
}

impl Stop {
    fn new(at: Marker, message: &str) -> Self {
        Self { line: at.line(), message: message.to_owned() }
    }
}

impl From<ScanError> for Stop {
    fn from(fault: ScanError) -> Self {
        Self::new(*fault.marker(), &format!("not YAML: {}", fault.info()))
    }
}

struct Reader<'t, 'p> {
    events: Parser<'t, StrInput<'t>>,
    problems: &'p mut Problems,
}

impl<'t> Reader<'t, '_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser's enum; whatever else it has is refused")]
    fn document(&mut self) -> Result<Node, Stop> {
        let mut document = None;
        while let Some(event) = self.events.next() {
            let (event, span) = event?;
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
                first if document.is_none() => document = Some(self.node(first, span, "", 0)?),
                _ => return Err(Stop::new(span.start, "a second document; one file holds one configuration")),
            }
        }
        let empty = Node { origin: Origin::Line(1), content: Content::Mapping(Vec::new()) };
        match document {
            None => Ok(empty),
            Some(Node { content: Content::Scalar { text, plain: true }, .. }) if text.is_empty() => Ok(empty),
            Some(document) => Ok(document),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser's enum; whatever else it has is refused")]
    fn node(&mut self, event: Event<'t>, span: Span, path: &str, depth: usize) -> Result<Node, Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::new(span.start, "nested too deeply"));
        }
        let origin = Origin::Line(span.start.line());
        let content = match event {
            // The parser says `~` where nothing is written.
            Event::Scalar(_, ScalarStyle::Plain, 0, None) if span.start.index() == span.end.index() => {
                Content::Scalar { text: String::new(), plain: true }
            }
            Event::Scalar(text, style, 0, None) => {
                Content::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(_, 0, None) => Content::Sequence(self.sequence(path, depth)?),
            Event::MappingStart(_, 0, None) => Content::Mapping(self.mapping(path, depth)?),
            _ => return Err(Stop::new(span.start, "anchors, aliases and tags are not for configurations")),
        };
        Ok(Node { origin, content })
    }

    fn sequence(&mut self, path: &str, depth: usize) -> Result<Vec<Node>, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(items);
            }
            let path = super::node::element(path, items.len());
            items.push(self.node(event, span, &path, depth.saturating_add(1))?);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser's enum; whatever else it has is refused")]
    fn mapping(&mut self, path: &str, depth: usize) -> Result<Vec<(String, Node)>, Stop> {
        let (mut entries, mut seen) = (Vec::new(), HashSet::new());
        loop {
            let (event, key_span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(key, _, 0, None) => key.into_owned(),
                _ => return Err(Stop::new(key_span.start, "a key must be a plain word")),
            };
            let path = member(path, &key);
            let (event, span) = self.next()?;
            let mut value = self.node(event, span, &path, depth.saturating_add(1))?;
            // The key's line is where one looks; its value may begin on the next.
            value.origin = Origin::Line(key_span.start.line());
            if seen.insert(key.clone()) {
                entries.push((key, value));
            } else {
                self.problems.push(value.origin, &path, "written twice".to_owned());
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Stop> {
        match self.events.next() {
            Some(event) => Ok(event?),
            None => Err(Stop { line: 1, message: "not YAML: ends too early".to_owned() }),
        }
    }
}
