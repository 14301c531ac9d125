//! Lines: how something grows, and percentiles.

use super::canvas::{Area, Chart, Drawn, INK, Sign, colour, draw, frame, range, rule, text};
use super::number::short;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::element::{Circle, PathElement};
use plotters::prelude::IntoLogRange;
use plotters::series::DashedLineSeries;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, RGBColor, ShapeStyle};
use std::error::Error;
use std::ops::Range;

/// Series of points over a common pair of axes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// What it shows.
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
    /// Known figures that hold everywhere (a limit, a target): dashed, from the left edge to the right.
    pub(crate) levels: Vec<(String, f64)>,
}

/// One of the two axes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Axis {
    /// What it counts, with the unit.
    pub(crate) label: String,
    /// Logarithmic; values that are not positive are left out then.
    pub(crate) log: bool,
    /// Where it has to reach at least, from and to, if values alone do not say it.
    pub(crate) reach: Option<(f64, f64)>,
    /// How values are written; as figures if nothing is said.
    pub(crate) written: Option<fn(f64) -> String>,
}

/// One series.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) style: Style,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// What was measured: a line with a dot at each point.
    #[default]
    Measured,
    /// Known figures: rings, not joined.
    ReferencePoints,
}

const HEIGHT: u32 = 380;
const LEFT: u32 = 70;
const BOTTOM: u32 = 48;

impl Lines {
    /// Percentiles: how long all but the slowest take. Each series has points (share, value): `(0.99, 3.5)` says that 99 of 100 take 3.5 at most.
    /// The axis is stretched towards the slow end, as that is what is looked for; a share of 1 has no place on it and is left out.
    pub(crate) fn percentiles(title: impl Into<String>, unit: &str, series: Vec<(String, Vec<(f64, f64)>)>) -> Self {
        let stretched = |points: Vec<(f64, f64)>| {
            points.into_iter().filter(|(share, _)| (0.0..1.0).contains(share)).map(|(share, value)| (1.0 / (1.0 - share), value))
        };
        let line = |(name, points)| Line { name, points: stretched(points).collect(), style: Style::Measured };
        let written = |rarity: f64| short_share(1.0 - 1.0 / rarity);
        Self {
            title: title.into(),
            x: Axis { label: "share of operations".to_owned(), log: true, written: Some(written), ..Axis::default() },
            y: Axis { label: unit.to_owned(), log: true, ..Axis::default() },
            lines: series.into_iter().map(line).collect(),
            levels: Vec::new(),
        }
    }

    fn range_of(axis: &Axis, values: impl Iterator<Item = f64>) -> Range<f64> {
        let reach = axis.reach.into_iter().flat_map(|(from, to)| [from, to]);
        range(values.chain(reach), axis.log)
    }

    fn paint<X, Y>(&self, area: &Area<'_>, (x, y): (X, Y), ends: (f64, f64)) -> Drawn
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut chart = frame(area, LEFT, BOTTOM).build_cartesian_2d(x, y)?;
        let (write_x, write_y) = (self.x.written.unwrap_or(short), self.y.written.unwrap_or(short));
        let mut mesh = chart.configure_mesh();
        mesh.light_line_style(plotters::style::TRANSPARENT).bold_line_style(rule()).axis_style(rule());
        mesh.label_style(text(HPos::Center, VPos::Top)).axis_desc_style(text(HPos::Center, VPos::Top));
        mesh.x_desc(&self.x.label).y_desc(&self.y.label);
        mesh.x_label_formatter(&|value| write_x(*value)).y_label_formatter(&|value| write_y(*value)).draw()?;
        for (place, line) in self.lines.iter().enumerate() {
            let points: Vec<(f64, f64)> = line.points.iter().copied().filter(|point| self.shows(*point)).collect();
            let style = colour(place).stroke_width(2);
            match line.style {
                Style::Measured => {
                    chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour(place).filled())))?;
                    chart.draw_series([PathElement::new(points, style)])?;
                }
                Style::ReferencePoints => drop(chart.draw_series(points.iter().map(|point| Circle::new(*point, 5, style)))?),
            }
        }
        for (number, (_, value)) in self.levels.iter().enumerate() {
            let style = level_colour(number).stroke_width(2);
            chart.draw_series(dashes(vec![(ends.0, *value), (ends.1, *value)], style))?;
        }
        Ok(())
    }

    fn shows(&self, (x, y): (f64, f64)) -> bool {
        x.is_finite() && y.is_finite() && (!self.x.log || x > 0.0) && (!self.y.log || y > 0.0)
    }

    fn legend(&self) -> Vec<(String, RGBColor, Sign)> {
        let sign = |style| match style {
            Style::Measured => Sign::Line,
            Style::ReferencePoints => Sign::Point,
        };
        let lines = self.lines.iter().enumerate().map(|(place, line)| (line.name.clone(), colour(place), sign(line.style)));
        let levels = self.levels.iter().enumerate().map(|(number, (name, _))| (name.clone(), level_colour(number), Sign::Dashes));
        lines.chain(levels).collect()
    }
}

fn dashes(points: Vec<(f64, f64)>, style: ShapeStyle) -> DashedLineSeries<std::vec::IntoIter<(f64, f64)>, u32> {
    DashedLineSeries::new(points, 7, 5, style)
}

fn level_colour(number: usize) -> RGBColor {
    if number == 0 { INK } else { colour(13 - number % 13) }
}

/// A share as percent, with as many places as it takes to tell it from all.
fn short_share(share: f64) -> String {
    let percent = share * 100.0;
    let text = format!("{percent:.4}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

impl Chart for Lines {
    fn title(&self) -> &str {
        &self.title
    }

    fn to_svg(&self) -> Result<String, Box<dyn Error>> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let x = Self::range_of(&self.x, points().map(|point| point.0));
        let levels = self.levels.iter().map(|level| level.1);
        let y = Self::range_of(&self.y, points().map(|point| point.1).chain(levels));
        let ends = (x.start, x.end);
        draw(HEIGHT, &self.legend(), |area| match (self.x.log, self.y.log) {
            (false, false) => self.paint(area, (x, y), ends),
            (true, false) => self.paint(area, (x.log_scale(), y), ends),
            (false, true) => self.paint(area, (x, y.log_scale()), ends),
            (true, true) => self.paint(area, (x.log_scale(), y.log_scale()), ends),
        })
    }
}
