//! Bars that lie: for every row of work one of each system, names at the left, figures at their ends.

use super::canvas::{Area, Chart, Drawn, INK, Sign, TEXT, colour, draw, frame, range, rule, text};
use super::number::short;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::IntoLogRange;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};
use std::error::Error;

/// Rows of work, each with a bar of every system that did it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bars {
    /// What it shows, with the unit.
    pub(crate) title: String,
    /// Names of the rows.
    pub(crate) groups: Vec<String>,
    /// What was measured, for each system.
    pub(crate) series: Vec<Series>,
    /// Known figures (a paper's, a target), drawn as dashed lines across the bars of their row.
    pub(crate) references: Vec<Series>,
    /// A logarithmic axis, if figures of rows differ by magnitudes.
    pub(crate) log: bool,
}

/// A figure of one system for every row, `None` where there is none.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) values: Vec<Option<f64>>,
}

/// Height of a bar, and what is free between rows.
const BAR: u32 = 13;
const GAP: u32 = 10;
const AXIS: u32 = 30;

impl Bars {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.series.iter().chain(&self.references).flat_map(|series| series.values.iter().flatten().copied())
    }

    /// Height of a row in units of the vertical axis is 1; of that the bars take this share.
    fn bar_share(&self) -> f64 {
        f64::from(BAR) / f64::from(self.group_height())
    }

    fn group_height(&self) -> u32 {
        self.series.len().max(1) as u32 * BAR + GAP
    }

    /// Where bar `place` of a row begins and ends, downwards.
    fn span(&self, group: usize, place: usize) -> (f64, f64) {
        let top = group as f64 + f64::from(GAP) / 2.0 / f64::from(self.group_height());
        (top + place as f64 * self.bar_share(), top + (place as f64 + 0.85) * self.bar_share())
    }

    fn paint<X>(&self, area: &Area<'_>, x: X, least: f64) -> Drawn
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
    {
        let longest = self.groups.iter().map(|name| name.chars().count()).max().unwrap_or(0) as u32;
        let left = (longest * TEXT * 6 / 10 + 12).clamp(60, 320);
        let count = self.groups.len().max(1) as f64;
        // From above to below.
        let mut chart = frame(area, left, AXIS).build_cartesian_2d(x, count..0.0)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_y_mesh().y_labels(0).light_line_style(plotters::style::TRANSPARENT).bold_line_style(rule());
        mesh.axis_style(rule()).label_style(text(HPos::Center, VPos::Top)).x_label_formatter(&|value| short(*value)).draw()?;
        for (group, name) in self.groups.iter().enumerate() {
            let (_, middle) = chart.backend_coord(&(least, group as f64 + 0.5));
            let x = area.get_base_pixel().0 + left as i32;
            area.draw(&Text::new(name.clone(), (x, middle), text(HPos::Right, VPos::Center)))?;
        }
        for (place, series) in self.series.iter().enumerate() {
            for (group, value) in present(series) {
                let (top, bottom) = self.span(group, place);
                let ends = [(least, top), (value.max(least), bottom)];
                chart.draw_series([Rectangle::new(ends, colour(place).filled())])?;
                let (end, y) = chart.backend_coord(&(value.max(least), f64::midpoint(top, bottom)));
                area.draw(&Text::new(short(value), (end + 4, y), text(HPos::Left, VPos::Center)))?;
            }
        }
        for (number, series) in self.references.iter().enumerate() {
            let style = reference_colour(number).stroke_width(2);
            for (group, value) in present(series) {
                let from = group as f64 + 0.02;
                let dashes = (0..8).map(|dash| from + 0.12 * f64::from(dash));
                chart.draw_series(dashes.map(|y| PathElement::new([(value, y), (value, y + 0.07)], style)))?;
            }
        }
        Ok(())
    }
}

/// Targets in ink; if there is more than one kind, the others in colours from the far end of the palette.
fn reference_colour(number: usize) -> plotters::style::RGBColor {
    if number == 0 { INK } else { colour(13 - number % 13) }
}

fn present(series: &Series) -> impl Iterator<Item = (usize, f64)> {
    let values = series.values.iter().enumerate();
    values.filter_map(|(group, value)| Some((group, (*value).filter(|value| value.is_finite())?)))
}

impl Chart for Bars {
    fn title(&self) -> &str {
        &self.title
    }

    fn to_svg(&self) -> Result<String, Box<dyn Error>> {
        let mut legend: Vec<_> =
            self.series.iter().enumerate().map(|(place, series)| (series.name.clone(), colour(place), Sign::Bar)).collect();
        let references = self.references.iter().enumerate();
        legend.extend(references.map(|(number, series)| (series.name.clone(), reference_colour(number), Sign::Dashes)));
        let height = self.groups.len() as u32 * self.group_height() + AXIS + 16;
        let x = range(self.values(), self.log);
        let least = x.start;
        draw(height, &legend, |area| if self.log { self.paint(area, x.log_scale(), least) } else { self.paint(area, x, least) })
    }
}
