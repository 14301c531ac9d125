//! Reports as one HTML file: what was measured on which machine, then sections of text, tables and charts.
//!
//! A report is opened years later, mailed and printed, so it refers to nothing outside of itself: the style stands in the page, charts are
//! inline SVG. `maud` builds the page (and escapes what is put in), `plotters` draws; nobody else names either.
//!
//! ```ignore
//! let mut page = Page::new("Appends", &about);
//! page.section("Rates").text("Medians of 5 rounds.").table(table).chart(&bars)?;
//! fs::write("appends.html", page.to_html())?;
//! ```
//!
//! [`Bars`] compares systems over several rows of work; [`Lines`] shows how something grows, or percentiles. Both take references: known figures, as
//! of a paper or a target, which are drawn dashed beside what was measured.

mod bars;
mod canvas;
mod lines;
mod number;
mod table;

pub(crate) use bars::{Bars, Series};
pub(crate) use canvas::Chart;
pub(crate) use lines::{Axis, Line, Lines, Style};
pub(crate) use number::short;
pub(crate) use table::{Cell, Table};

use crate::about::About;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::error::Error;

/// Colours follow what the reader's system prefers. Charts are drawn in the colours of a light page; those of their text and rules, which
/// are attributes, give way to these.
const STYLE: &str = include_str!("style.css");

/// A report that is being put together.
#[derive(Debug)]
pub(crate) struct Page {
    title: String,
    about: About,
    sections: Vec<Section>,
}

/// A heading and what stands below it, in the order in which it was given.
#[derive(Debug)]
pub(crate) struct Section {
    heading: String,
    parts: Vec<Markup>,
}

impl Page {
    /// A page that begins with what was measured, and where.
    pub(crate) fn new(title: impl Into<String>, about: &About) -> Self {
        Self { title: title.into(), about: about.clone(), sections: Vec::new() }
    }

    /// Begins a section behind the others.
    pub(crate) fn section(&mut self, heading: impl Into<String>) -> &mut Section {
        self.sections.push(Section { heading: heading.into(), parts: Vec::new() });
        let last = self.sections.len() - 1;
        &mut self.sections[last]
    }

    /// The whole file.
    pub(crate) fn to_html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                (self.body())
            }
        };
        page.into_string()
    }

    fn body(&self) -> Markup {
        html! {
            body {
                h1 { (self.title) }
                table class="about" {
                    tbody {
                        @for (name, value) in self.about.facts() {
                            tr { th scope="row" { (name) } td { (value) } }
                        }
                    }
                }
                @for section in &self.sections {
                    section {
                        h2 { (section.heading) }
                        @for part in &section.parts { (part) }
                    }
                }
            }
        }
    }
}

impl Section {
    /// A paragraph.
    pub(crate) fn text(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.parts.push(html! { p { (text.as_ref()) } });
        self
    }

    /// A table.
    pub(crate) fn table(&mut self, table: &Table) -> &mut Self {
        self.parts.push(table.to_markup());
        self
    }

    /// A chart with its title.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub(crate) fn chart(&mut self, chart: &dyn Chart) -> Result<&mut Self, Box<dyn Error>> {
        let drawing = chart.to_svg()?;
        self.parts.push(html! { figure { figcaption { (chart.title()) } (PreEscaped(drawing)) } });
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
