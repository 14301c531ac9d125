//! What was put in comes out, well-formed and escaped, and refers to nothing elsewhere.

use super::*;
use roxmltree::{Document, Node};

const HOSTILE: &str = "<script src=\"x\">&'\"]]> 100 % \u{1f9f5}";

fn about() -> About {
    About { command_line: HOSTILE.to_owned(), settings: vec![(HOSTILE.to_owned(), "1".to_owned())], ..About::default() }
}

fn bars(log: bool) -> Bars {
    let series = |name: &str, values: &[Option<f64>]| Series { name: name.to_owned(), values: values.to_vec() };
    Bars {
        title: HOSTILE.to_owned(),
        groups: vec![HOSTILE.to_owned(), "second".to_owned()],
        series: vec![series("disk", &[Some(4300.0), Some(2.0)]), series(HOSTILE, &[Some(0.0), None])],
        references: vec![series("target", &[Some(100.0), Some(f64::NAN)])],
        log,
    }
}

fn lines(x: bool, y: bool) -> Lines {
    let line = |name: &str, style| Line { name: name.to_owned(), points: vec![(0.0, 0.0), (1.0, 20.0), (60.0, 87.0)], style };
    let axis = |log| Axis { label: HOSTILE.to_owned(), log, ..Axis::default() };
    Lines {
        title: HOSTILE.to_owned(),
        x: axis(x),
        y: axis(y),
        lines: vec![line(HOSTILE, Style::Measured), line("figures", Style::ReferencePoints)],
        levels: vec![("the wire".to_owned(), 98.0)],
    }
}

fn texts(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let texts = document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")));
    texts.map(|node| node.text().unwrap_or("").trim().to_owned()).collect()
}

#[test]
fn charts_are_well_formed_and_say_what_they_were_given() {
    for log in [false, true] {
        let texts = texts(&bars(log).to_svg().expect("drawn"));
        for expected in [HOSTILE, "second", "disk", "target", "4300", "2.00"] {
            assert!(texts.iter().any(|text| text == expected), "no {expected:?} in {texts:?}");
        }
    }
    for (x, y) in [(false, false), (true, false), (false, true), (true, true)] {
        let texts = texts(&lines(x, y).to_svg().expect("drawn"));
        for expected in [HOSTILE, "figures", "the wire"] {
            assert!(texts.iter().any(|text| text == expected), "no {expected:?} in {texts:?}");
        }
    }
}

#[test]
fn every_point_and_bar_is_drawn() {
    let count = |svg: &str, tag: &str| {
        let document = Document::parse(svg).expect("well-formed");
        document.descendants().filter(|node| node.tag_name().name() == tag).count()
    };
    // Three bars, and two signs of the legend.
    assert_eq!(count(&bars(false).to_svg().expect("drawn"), "rect"), 5);
    // Three dots, three rings, a sign; where axes are logarithmic the point at zero has no place.
    assert_eq!(count(&lines(false, false).to_svg().expect("drawn"), "circle"), 7);
    assert_eq!(count(&lines(true, true).to_svg().expect("drawn"), "circle"), 5);
}

#[test]
fn charts_of_nothing_can_be_drawn() {
    for chart in [&Bars::default() as &dyn Chart, &Lines::default(), &Lines::percentiles("", "", Vec::new())] {
        Document::parse(&chart.to_svg().expect("drawn")).expect("well-formed");
    }
}

#[test]
fn percentiles_are_labelled_as_shares() {
    let points = vec![(0.5, 100.0), (0.99, 400.0), (0.999, 9000.0), (1.0, 1e9)];
    let chart = Lines::percentiles("latency", "µs", vec![("L".to_owned(), points)]);
    let texts = texts(&chart.to_svg().expect("drawn"));
    for expected in ["0 %", "90 %", "99 %", "99.9 %", "µs"] {
        assert!(texts.iter().any(|text| text == expected), "no {expected:?} in {texts:?}");
    }
    assert!(!texts.iter().any(|text| text == "1000 M"), "the slowest one has no place: {texts:?}");
}

fn page() -> Page {
    let mut page = Page::new(HOSTILE, &about());
    let mut table = Table::new([HOSTILE, "rate", "met"]);
    table.row([Cell::from(HOSTILE), Cell::number("12"), Cell::Verdict { is_good: false, words: HOSTILE.to_owned() }]);
    page.section(HOSTILE)
        .text(HOSTILE)
        .table(&table)
        .chart(&bars(true))
        .expect("drawn")
        .chart(&lines(true, true))
        .expect("drawn");
    page
}

#[test]
fn a_page_is_well_formed_and_shows_hostile_text_as_text() {
    let body = page().body().into_string();
    let document = Document::parse(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert!(!document.descendants().any(|node| node.has_tag_name("script")), "text became an element");
    let said =
        |tag: &str| -> Vec<&str> { document.descendants().filter(|n| n.has_tag_name(tag)).filter_map(|n| n.text()).collect() };
    for tag in ["h1", "h2", "p", "figcaption"] {
        assert!(said(tag).contains(&HOSTILE), "{tag} says {:?}", said(tag));
    }
    assert!(said("td").iter().filter(|text| **text == HOSTILE).count() >= 3, "{:?}", said("td"));
}

#[test]
fn nothing_outside_of_the_page_is_referred_to() {
    let html = page().to_html();
    assert!(html.starts_with("<!DOCTYPE html>"));
    let body = page().body().into_string();
    let document = Document::parse(&body).expect("well-formed");
    let refers = |node: Node<'_, '_>| node.attributes().any(|a| ["href", "src", "srcset", "action", "data"].contains(&a.name()));
    assert!(!document.descendants().any(refers), "an element refers to something");
    for loader in ["url(", "@import"] {
        assert!(!html.contains(loader), "{loader} in the page");
    }
}

/// `WEFT_SAMPLE=FILE cargo test …`: the page of these tests, to be looked at.
#[test]
fn a_sample_can_be_looked_at() {
    if let Some(path) = std::env::var_os("WEFT_SAMPLE") {
        std::fs::write(path, page().to_html()).expect("a sample");
    }
}
