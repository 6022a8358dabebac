//! Lines that fit: words in tones, columns, wrapped at the screen's width with a hanging indent.
//! What comes from elsewhere cannot bring escape sequences in.

use crate::look::Look;

/// How a word looks where colour is welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Title,
    Dim,
    Good,
    Bad,
}

/// One line before it is wrapped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    indent: usize,
    /// Indent of the lines that follow when it is wrapped.
    hang: usize,
    verbatim: bool,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    text: String,
    tone: Tone,
    /// Filled with spaces to this width.
    width: usize,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn indented(indent: usize) -> Self {
        Self::hanging(indent, indent.saturating_add(2))
    }

    pub(crate) fn hanging(indent: usize, hang: usize) -> Self {
        Self { indent, hang, ..Self::default() }
    }

    /// A line that is never wrapped, so that it can be copied, or read as it was written.
    pub(crate) fn verbatim(text: &str) -> Self {
        Self { verbatim: true, ..Self::default() }.add(text, Tone::Plain)
    }

    /// Adds words, after a space.
    pub(crate) fn add(self, text: impl Into<String>, tone: Tone) -> Self {
        self.column(text, 0, tone)
    }

    /// Adds words, filled with spaces to `width`.
    pub(crate) fn column(mut self, text: impl Into<String>, width: usize, tone: Tone) -> Self {
        let text: String = text.into();
        let text = text.chars().map(|character| if character.is_control() { ' ' } else { seen(character) }).collect();
        self.parts.push(Part { text, tone, width });
        self
    }

    /// The text, wrapped and with its line feeds.
    pub(crate) fn render(&self, look: Look) -> String {
        if self.verbatim {
            return self.parts.iter().map(|part| format!("{}\n", part.text)).collect();
        }
        let mut page = Page { text: String::new(), column: 0, look, hang: self.hang };
        page.fill(self.indent);
        let mut first = true;
        for part in &self.parts {
            let start = page.column;
            for word in part.text.split(' ') {
                page.word(word, part.tone, !first);
                first = false;
            }
            // What follows a column stands where the next one begins; a word that overran it gets a space as usual.
            let used = page.column.saturating_sub(start);
            if part.width > used {
                page.fill(part.width.saturating_sub(used));
                first = true;
            }
        }
        format!("{}\n", page.text.trim_end())
    }
}

/// Text in lines that comes from elsewhere, as it may be written to a terminal: no escape sequence is left in it.
pub(crate) fn plain(text: &str) -> String {
    let is_blank = |character: char| character == '\n' || character == '\t';
    let blank = |character: char| if is_blank(character) || !character.is_control() { character } else { ' ' };
    text.chars().map(blank).map(seen).collect()
}

/// A character that can be seen. Those that cannot, or that change the direction of what follows, could make one text
/// look like another.
fn seen(character: char) -> char {
    if is_hidden(character) { char::REPLACEMENT_CHARACTER } else { character }
}

/// Whether a character is an instruction to whoever shows it.
pub(crate) const fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text so far, and where the next word would stand.
struct Page {
    text: String,
    column: usize,
    look: Look,
    hang: usize,
}

impl Page {
    fn word(&mut self, word: &str, tone: Tone, spaced: bool) {
        let length = word.chars().count();
        let gap = usize::from(spaced);
        if self.column.saturating_add(gap).saturating_add(length) > self.look.width && self.column > self.hang {
            self.next_line();
        } else {
            self.fill(gap);
        }
        // A word that is longer than a line is cut: nothing else fits a narrow screen.
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let room = self.look.width.saturating_sub(self.column).max(1);
            let tail = rest.split_off(room.min(rest.len()));
            self.column = self.column.saturating_add(rest.len());
            self.paint(&rest.iter().collect::<String>(), tone);
            if tail.is_empty() {
                return;
            }
            rest = tail;
            self.next_line();
        }
    }

    fn next_line(&mut self) {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
        self.column = 0;
        self.fill(self.hang);
    }

    fn fill(&mut self, spaces: usize) {
        self.text.extend(std::iter::repeat_n(' ', spaces));
        self.column = self.column.saturating_add(spaces);
    }

    fn paint(&mut self, word: &str, tone: Tone) {
        let code = match tone {
            Tone::Plain => None,
            Tone::Title => Some("1"),
            Tone::Dim => Some("2"),
            Tone::Good => Some("32"),
            Tone::Bad => Some("1;31"),
        };
        match code.filter(|_code| self.look.colour && !word.is_empty()) {
            Some(code) => self.text.push_str(&format!("\u{1b}[{code}m{word}\u{1b}[0m")),
            None => self.text.push_str(word),
        }
    }
}
