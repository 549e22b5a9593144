//! One top-level block of Markdown as lines.
//!
//! Pure. Text is cleaned here, behind the parser: an entity may stand for any character.

use pulldown_cmark::{Alignment, CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::tui::links::parts;
use crate::tui::theme::{Role, Theme};
use crate::tui::view::code;
use crate::tui::view::ink::Ink;
use crate::tui::view::text::{Break, clean, clean_line, width, wrap};

/// Lists and quotes deeper than this are drawn as deep as this.
const DEPTH: usize = 8;

pub(crate) fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS
}

/// What a block is drawn on.
#[derive(Clone, Copy)]
pub(crate) struct Sheet<'a> {
    pub(crate) columns: usize,
    pub(crate) theme: &'a Theme,
    pub(crate) ink: &'a Ink<'a>,
}

/// Appends the lines of one block. Code is highlighted when the block is `over`: nothing more comes.
pub(crate) fn draw(text: &str, over: bool, sheet: Sheet, lines: &mut Vec<Line<'static>>) {
    Drawing::new(sheet, over).block(text, lines);
}

/// What stands before the lines inside a list item or a quote.
struct Indent {
    /// Before the first line, then taken.
    first: Option<Span<'static>>,
    rest: Span<'static>,
}

/// One block on its way to lines.
struct Drawing<'a> {
    columns: usize,
    theme: &'a Theme,
    ink: &'a Ink<'a>,
    over: bool,
    spans: Vec<Span<'static>>,
    styles: Vec<Style>,
    indents: Vec<Indent>,
    /// The next number of every open list; `None` for bullets.
    lists: Vec<Option<u64>>,
    code: Option<(String, String)>,
    link: Option<(String, String)>,
    table: Option<Table>,
    /// Something of the innermost item or quote has been drawn: the next paragraph keeps its distance.
    drawn: bool,
}

#[derive(Default)]
struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<Vec<Span<'static>>>>,
}

fn wide(cell: &[Span]) -> usize {
    cell.iter().map(|span| width(&span.content)).sum()
}

impl<'a> Drawing<'a> {
    fn new(sheet: Sheet<'a>, over: bool) -> Self {
        Self {
            columns: sheet.columns,
            theme: sheet.theme,
            ink: sheet.ink,
            over,
            spans: Vec::new(),
            styles: vec![sheet.theme.style(Role::Text)],
            indents: Vec::new(),
            lists: Vec::new(),
            code: None,
            link: None,
            table: None,
            drawn: false,
        }
    }

    fn block(mut self, text: &str, lines: &mut Vec<Line<'static>>) {
        for event in Parser::new_ext(text, options()) {
            self.event(event, lines);
        }
        self.flush(lines);
    }

    fn event(&mut self, event: Event, lines: &mut Vec<Line<'static>>) {
        match event {
            Event::Start(tag) => self.start(tag, lines),
            Event::End(tag) => self.end(tag, lines),
            Event::Text(text) => self.text(&text),
            Event::Code(text) => {
                let style = self.style().patch(self.theme.style(Role::Code));
                self.push(clean_line(&text), style);
            }
            Event::Html(text) | Event::InlineHtml(text) => {
                let style = self.theme.style(Role::Dim);
                for (index, line) in text.trim_end_matches('\n').split('\n').enumerate() {
                    if index > 0 {
                        self.flush(lines);
                    }
                    self.push(clean_line(line), style);
                }
                if text.ends_with('\n') {
                    self.flush(lines);
                }
            }
            Event::SoftBreak => self.push(" ".to_owned(), self.style()),
            Event::HardBreak => self.flush(lines),
            Event::Rule => {
                let rule = "─".repeat(self.room().min(40));
                self.push(rule, self.theme.style(Role::Border));
                self.flush(lines);
            }
            Event::TaskListMarker(done) => {
                let mark = if done { "[x] " } else { "[ ] " };
                self.push(mark.to_owned(), self.theme.style(Role::Accent));
            }
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text);
            }
        }
    }

    fn start(&mut self, tag: Tag, lines: &mut Vec<Line<'static>>) {
        match tag {
            Tag::Paragraph => self.distance(lines),
            Tag::Heading { level, .. } => self.heading(level, lines),
            Tag::BlockQuote(_) => self.quote(lines),
            Tag::CodeBlock(kind) => self.code_block(&kind, lines),
            Tag::List(number) => {
                self.flush(lines);
                self.lists.push(number);
            }
            Tag::Item => self.item(),
            Tag::Table(alignments) => {
                self.distance(lines);
                self.table = Some(Table {
                    alignments,
                    rows: Vec::new(),
                });
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.rows.push(Vec::new());
                }
            }
            Tag::Emphasis => self
                .styles
                .push(self.style().add_modifier(Modifier::ITALIC)),
            Tag::Strong => self.styles.push(self.style().add_modifier(Modifier::BOLD)),
            Tag::Strikethrough => self
                .styles
                .push(self.style().add_modifier(Modifier::CROSSED_OUT)),
            Tag::Link { dest_url, .. } => self.link = Some((dest_url.to_string(), String::new())),
            Tag::Image { dest_url, .. } => {
                self.push("image: ".to_owned(), self.theme.style(Role::Dim));
                self.link = Some((dest_url.to_string(), String::new()));
            }
            Tag::HtmlBlock
            | Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::TableCell
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => (),
        }
    }

    fn heading(&mut self, level: HeadingLevel, lines: &mut Vec<Line<'static>>) {
        self.distance(lines);
        let mut style = self.theme.style(Role::Heading);
        if level == HeadingLevel::H1 {
            style = style.add_modifier(Modifier::UNDERLINED);
        }
        self.styles.push(style);
    }

    fn quote(&mut self, lines: &mut Vec<Line<'static>>) {
        self.distance(lines);
        let bar = Span::styled("│ ", self.theme.style(Role::Border));
        self.indents.push(Indent {
            first: None,
            rest: bar,
        });
        self.styles
            .push(self.style().patch(self.theme.style(Role::Dim)));
    }

    fn code_block(&mut self, kind: &CodeBlockKind, lines: &mut Vec<Line<'static>>) {
        self.flush(lines);
        self.distance(lines);
        let language = match kind {
            CodeBlockKind::Fenced(info) => info.split([' ', ',']).next().unwrap_or("").to_owned(),
            CodeBlockKind::Indented => String::new(),
        };
        self.code = Some((language, String::new()));
    }

    fn end(&mut self, tag: TagEnd, lines: &mut Vec<Line<'static>>) {
        match tag {
            TagEnd::Paragraph => self.flush(lines),
            TagEnd::Heading(_) => {
                self.flush(lines);
                self.styles.pop();
            }
            TagEnd::BlockQuote(_) => {
                self.flush(lines);
                self.indents.pop();
                self.styles.pop();
            }
            TagEnd::CodeBlock => self.end_code(lines),
            TagEnd::List(_) => {
                self.flush(lines);
                self.lists.pop();
                self.drawn = true;
            }
            TagEnd::Item => {
                // An empty item still shows its mark.
                if self
                    .indents
                    .last()
                    .is_some_and(|indent| indent.first.is_some())
                {
                    self.push(" ".to_owned(), self.style());
                }
                self.flush(lines);
                self.indents.pop();
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.spans);
                if let Some(row) = self.table.as_mut().and_then(|table| table.rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::Table => self.end_table(lines),
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.styles.pop();
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::HtmlBlock
            | TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::MetadataBlock(_) => (),
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((_, code)) = &mut self.code {
            code.push_str(text);
            return;
        }
        if let Some((_, label)) = &mut self.link {
            label.push_str(text);
        }
        let text = clean(text).replace('\n', " ");
        match &self.link {
            Some((url, _)) => {
                let style = self.style().patch(self.theme.style(Role::Link));
                // Words that say another address than they lead to lead nowhere.
                let lies = parts(&text)
                    .iter()
                    .any(|(_, says)| says.is_some_and(|says| says != clean_line(url)));
                let style = match lies {
                    true => style,
                    false => self.ink.leading(style, url),
                };
                self.push(text, style);
            }
            None => self.plain(&text, self.style()),
        }
    }

    /// Words in which addresses lead where they say.
    fn plain(&mut self, text: &str, style: Style) {
        for (part, address) in parts(text) {
            let style = match address {
                Some(address) => self.ink.leading(style, address),
                None => style,
            };
            self.push(part.to_owned(), style);
        }
    }

    fn item(&mut self) {
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            _ => "• ".to_owned(),
        };
        let rest = " ".repeat(width(&mark));
        self.indents.push(Indent {
            first: Some(Span::styled(mark, self.theme.style(Role::Accent))),
            rest: Span::raw(rest),
        });
        self.drawn = false;
    }

    /// The address of a link, unless the text says it already. A reader sees where a link leads.
    fn end_link(&mut self) {
        let Some((url, label)) = self.link.take() else {
            return;
        };
        let url = clean_line(&url);
        if !url.is_empty() && clean_line(&label) != url && url != format!("mailto:{label}") {
            let dim = self.theme.style(Role::Dim);
            self.push(" (".to_owned(), dim);
            self.push(url.clone(), self.ink.leading(dim, &url));
            self.push(")".to_owned(), dim);
        }
    }

    fn end_code(&mut self, lines: &mut Vec<Line<'static>>) {
        let Some((language, text)) = self.code.take() else {
            return;
        };
        // Clean first: in other pieces a tab would be of another width.
        let text = clean(&text);
        let runs = match self.over {
            true => self.ink.of(&language, &text),
            false => None,
        };
        let runs = |line: usize| runs.as_ref().and_then(|lines| lines.get(line));
        let indent = Span::raw("  ");
        self.indents.push(Indent {
            first: None,
            rest: indent,
        });
        for (number, line) in text.lines().enumerate() {
            let runs = runs(number).map_or(&[][..], Vec::as_slice);
            for (role, part) in code::split(line, runs) {
                self.push(part.to_owned(), self.theme.style(role));
            }
            if self.spans.is_empty() {
                self.spans.push(Span::raw(" "));
            }
            self.flush_at(lines, Break::Anywhere);
        }
        self.indents.pop();
        self.drawn = true;
    }

    fn end_table(&mut self, lines: &mut Vec<Line<'static>>) {
        let Some(table) = self.table.take() else {
            return;
        };
        let count = table.rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..count)
            .map(|column| {
                let cells = table.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| wide(cell)).max().unwrap_or(0)
            })
            .collect();
        let whole: usize = widths.iter().sum::<usize>() + 3 * count.saturating_sub(1);
        if whole <= self.room() {
            self.table_rows(&table, &widths, lines);
        } else {
            self.table_records(&table, lines);
        }
        self.drawn = true;
    }

    fn table_rows(&mut self, table: &Table, widths: &[usize], lines: &mut Vec<Line<'static>>) {
        let border = self.theme.style(Role::Border);
        for (index, row) in table.rows.iter().enumerate() {
            for (column, room) in widths.iter().enumerate() {
                if column > 0 {
                    self.push(" │ ".to_owned(), border);
                }
                let cell = row.get(column).map_or(&[][..], Vec::as_slice);
                let space = room.saturating_sub(wide(cell));
                let before = match table.alignments.get(column) {
                    Some(Alignment::Right) => space,
                    Some(Alignment::Center) => space / 2,
                    Some(Alignment::Left | Alignment::None) | None => 0,
                };
                self.push(" ".repeat(before), self.style());
                self.push_cell(cell, index == 0);
                self.push(" ".repeat(space - before), self.style());
            }
            self.flush_at(lines, Break::Anywhere);
            if index == 0 {
                let rules: Vec<String> = widths.iter().map(|wide| "─".repeat(*wide)).collect();
                self.push(rules.join("─┼─"), border);
                self.flush_at(lines, Break::Anywhere);
            }
        }
    }

    /// A table that is too wide: every row as lines of `column: cell`, so that nothing is cut off.
    fn table_records(&mut self, table: &Table, lines: &mut Vec<Line<'static>>) {
        let (head, rows) = table
            .rows
            .split_first()
            .map_or((&[][..], &[][..]), |(head, rows)| (&head[..], rows));
        for (index, row) in rows.iter().enumerate() {
            if index > 0 {
                self.push("─".to_owned(), self.theme.style(Role::Border));
                self.flush(lines);
            }
            for (column, cell) in row.iter().enumerate() {
                let name = head.get(column).map_or(&[][..], Vec::as_slice);
                self.push_cell(name, true);
                self.push(": ".to_owned(), self.style().add_modifier(Modifier::BOLD));
                self.push_cell(cell, false);
                self.flush(lines);
            }
        }
    }

    /// As it looks in a paragraph; in the head bold as well.
    fn push_cell(&mut self, cell: &[Span<'static>], is_head: bool) {
        self.spans.extend(cell.iter().cloned().map(|mut span| {
            if is_head {
                span.style = span.style.add_modifier(Modifier::BOLD);
            }
            span
        }));
    }

    fn style(&self) -> Style {
        self.styles.last().copied().unwrap_or_default()
    }

    fn push(&mut self, text: String, style: Style) {
        if !text.is_empty() {
            self.spans.push(Span::styled(text, style));
        }
    }

    /// Columns left beside the indents.
    fn room(&self) -> usize {
        let taken: usize = self
            .indents
            .iter()
            .take(DEPTH)
            .map(|indent| width(&indent.rest.content))
            .sum();
        self.columns.saturating_sub(taken).max(1)
    }

    /// A blank line between two paragraphs of one item or quote.
    fn distance(&mut self, lines: &mut Vec<Line<'static>>) {
        if self.drawn && !self.indents.is_empty() {
            let rest: Vec<Span> = self
                .indents
                .iter()
                .take(DEPTH)
                .map(|indent| indent.rest.clone())
                .collect();
            lines.push(Line::from(rest));
        }
        self.drawn = false;
    }

    fn flush(&mut self, lines: &mut Vec<Line<'static>>) {
        self.flush_at(lines, Break::Words);
    }

    fn flush_at(&mut self, lines: &mut Vec<Line<'static>>, at: Break) {
        if self.spans.is_empty() {
            return;
        }
        let spans = std::mem::take(&mut self.spans);
        let rest: Vec<Span> = self
            .indents
            .iter()
            .take(DEPTH)
            .map(|indent| indent.rest.clone())
            .collect();
        let first: Vec<Span> = self
            .indents
            .iter_mut()
            .take(DEPTH)
            .map(|indent| indent.first.take().unwrap_or_else(|| indent.rest.clone()))
            .collect();
        lines.extend(wrap(&spans, &first, &rest, self.columns, at));
        self.drawn = true;
    }
}
