//! What all charts share: the drawing itself, colours, the legend, ranges of axes.

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle};
use std::error::Error;
use std::io;
use std::ops::Range;

/// Something that can be drawn.
pub(crate) trait Chart {
    /// What it shows, and in which unit.
    fn title(&self) -> &str;

    /// The drawing, an SVG element.
    ///
    /// # Errors
    /// When the drawing library fails.
    fn to_svg(&self) -> Result<String, Box<dyn Error>>;
}

/// A surface that is drawn on.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

pub(super) const WIDTH: u32 = 1000;
/// Of the legend, at the right.
const LEGEND: u32 = 170;
const LEGEND_STEP: i32 = 19;
pub(super) const TEXT: u32 = 12;
/// Text and axes; the style sheet replaces both in the dark.
pub(super) const INK: RGBColor = RGBColor(0x20, 0x20, 0x20);
pub(super) const RULE: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Legible on white and on black, and told apart by those who do not see all colours (the first seven: Okabe and Ito, "Color Universal Design").
const PALETTE: [RGBColor; 14] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xb8, 0xa8, 0x00),
    RGBColor(0x8c, 0x6b, 0xb1),
    RGBColor(0x8a, 0x8a, 0x8a),
    RGBColor(0xa6, 0x56, 0x28),
    RGBColor(0x4d, 0x9a, 0x9a),
    RGBColor(0xf0, 0x65, 0x9a),
    RGBColor(0x6b, 0x8e, 0x23),
    RGBColor(0x5b, 0x6b, 0xd6),
];

pub(super) fn colour(place: usize) -> RGBColor {
    PALETTE[place % PALETTE.len()]
}

/// Text in the page's colour, with the anchor that its place asks for.
pub(super) fn text(horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    ("sans-serif", TEXT).into_font().color(&INK).pos(Pos::new(horizontal, vertical))
}

/// How a series is shown in the legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Bar,
    Line,
    Dashes,
    Point,
}

/// Draws something of this height, with a legend at its right.
pub(super) fn draw(
    height: u32,
    legend: &[(String, RGBColor, Sign)],
    paint: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, Box<dyn Error>> {
    let height = height.max(40 + legend.len() as u32 * LEGEND_STEP as u32);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let (chart, side) = area.split_horizontally(WIDTH - LEGEND);
        paint(&chart)?;
        for (place, (name, colour, sign)) in legend.iter().enumerate() {
            let y = 18 + place as i32 * LEGEND_STEP;
            paint_sign(&side, y, *colour, *sign)?;
            side.draw(&Text::new(name.clone(), (36, y), text(HPos::Left, VPos::Center)))?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn paint_sign(side: &Area<'_>, y: i32, colour: RGBColor, sign: Sign) -> Drawn {
    let stroke = |from, to| PathElement::new([(from, y), (to, y)], colour.stroke_width(2));
    match sign {
        Sign::Bar => side.draw(&Rectangle::new([(14, y - 5), (28, y + 5)], colour.filled())),
        Sign::Line => side.draw(&stroke(10, 30)),
        Sign::Dashes => [10, 18, 26].into_iter().try_for_each(|from| side.draw(&stroke(from, from + 5))),
        Sign::Point => side.draw(&plotters::element::Circle::new((20, y), 4, colour.stroke_width(2))),
    }
}

/// A chart's frame: margins that leave room for labels.
pub(super) fn frame<'a, 'b>(area: &'a Area<'b>, left: u32, bottom: u32) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(8).margin_right(24).set_label_area_size(plotters::chart::LabelAreaPosition::Left, left);
    builder.set_label_area_size(plotters::chart::LabelAreaPosition::Bottom, bottom);
    builder
}

/// Lines of the mesh.
pub(super) fn rule() -> ShapeStyle {
    RULE.stroke_width(1)
}

/// An axis that shows all these values: from 0 (or the least, below it), or whole decades if it is logarithmic.
pub(super) fn range(values: impl Iterator<Item = f64>, log: bool) -> Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite() && (!log || *value > 0.0)) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low > high {
        return if log { 1.0..10.0 } else { 0.0..1.0 };
    }
    if log {
        let (from, to) = (low.log10().floor(), high.log10().ceil());
        return 10f64.powf(from)..10f64.powf(if to > from { to } else { from + 1.0 });
    }
    let (low, high) = (low.min(0.0), high.max(0.0));
    let room = if high > low { (high - low) * 0.05 } else { 1.0 };
    (if low < 0.0 { low - room } else { 0.0 })..high + room
}
