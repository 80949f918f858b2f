//! Groups of horizontal bars, drawn.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figure::{LIMIT, OURS};

/// What is drawn.
pub(super) struct Plot<'a> {
    pub(super) title: String,
    /// In what unit, and relative to what.
    pub(super) remark: String,
    pub(super) groups: Vec<Group<'a>>,
    /// The length of the longest bar as it is drawn.
    pub(super) longest: f64,
}

/// The bars of one setting.
pub(super) struct Group<'a> {
    pub(super) label: String,
    pub(super) bars: Vec<Bar<'a>>,
}

/// One bar, from zero.
pub(super) struct Bar<'a> {
    pub(super) contender: &'a str,
    pub(super) length: f64,
    pub(super) label: String,
}

const WIDTH: u32 = 960;
const MARGIN: i32 = 20;
const BAR: i32 = 15;
const GROUP_GAP: i32 = 14;

/// `plotters` writes about four fifths of it into the file.
const FONT: f64 = 15.0;

/// About how wide a character is, for there is no font to ask.
const CHARACTER: i32 = 7;

/// What stands behind the longest bar.
const VALUE_WIDTH: i32 = 130;

const OURS_COLOR: RGBColor = RGBColor(31, 97, 196);
const LIMIT_COLOR: RGBColor = RGBColor(150, 156, 164);
const OTHER_COLORS: [RGBColor; 8] = [
    RGBColor(230, 126, 34),
    RGBColor(46, 139, 87),
    RGBColor(192, 57, 90),
    RGBColor(142, 90, 180),
    RGBColor(140, 100, 60),
    RGBColor(20, 150, 160),
    RGBColor(190, 160, 30),
    RGBColor(110, 170, 230),
];
const TEXT_COLOR: RGBColor = RGBColor(36, 41, 47);
const LINE_COLOR: RGBColor = RGBColor(216, 220, 226);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The plot as SVG. A contender has the colour of its place in `everyone`.
pub(super) fn draw(plot: &Plot<'_>, everyone: &[&str]) -> anyhow::Result<String> {
    let shown: Vec<_> = everyone
        .iter()
        .copied()
        .filter(|name| {
            plot.groups.iter().flat_map(|group| &group.bars).any(|b| b.contender == *name)
        })
        .collect();
    let places = legend_places(&shown);
    let top = places.last().map_or(0, |(_, y)| *y) + 24;
    let bars: usize = plot.groups.iter().map(|group| group.bars.len()).sum();
    let (bars, gaps) = (i32::try_from(bars)?, i32::try_from(plot.groups.len())?);
    let bottom = top + bars * BAR + gaps * GROUP_GAP;

    let mut svg = String::new();
    {
        let height = u32::try_from(bottom + MARGIN)?;
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let drawn = area
            .fill(&WHITE)
            .and_then(|()| draw_head(&area, plot))
            .and_then(|()| draw_legend(&area, &shown, &places, everyone))
            .and_then(|()| draw_groups(&area, plot, everyone, (top, bottom)))
            .and_then(|()| area.present());
        drawn.map_err(|error| anyhow!("cannot draw {}: {error}", plot.title))?;
    }
    Ok(svg)
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw_head<'a>(area: &Area<'a>, plot: &Plot<'_>) -> Drawn<'a> {
    text(area, &plot.title, (MARGIN, 22), FONT + 6.0, HPos::Left)?;
    text(area, &plot.remark, (MARGIN, 44), FONT, HPos::Left)
}

/// Where the names are, side by side, in as many lines as they need.
fn legend_places(names: &[&str]) -> Vec<(i32, i32)> {
    let (mut x, mut y) = (MARGIN, 68);
    let mut places = Vec::new();
    for name in names {
        let width = 34 + CHARACTER * width_of(name);
        if x + width > WIDTH.cast_signed() - MARGIN && x > MARGIN {
            (x, y) = (MARGIN, y + 20);
        }
        places.push((x, y));
        x += width;
    }
    places
}

fn draw_legend<'a>(
    area: &Area<'a>,
    names: &[&str],
    places: &[(i32, i32)],
    everyone: &[&str],
) -> Drawn<'a> {
    for (name, &(x, y)) in names.iter().zip(places) {
        rectangle(area, (x, y - 6), (x + 12, y + 6), color(name, everyone))?;
        text(area, name, (x + 18, y), FONT, HPos::Left)?;
    }
    Ok(())
}

fn draw_groups<'a>(
    area: &Area<'a>,
    plot: &Plot<'_>,
    everyone: &[&str],
    (top, bottom): (i32, i32),
) -> Drawn<'a> {
    let longest_label = plot.groups.iter().map(|group| width_of(&group.label)).max().unwrap_or(0);
    let left = MARGIN + 10 + CHARACTER * longest_label;
    let room = f64::from(WIDTH.cast_signed() - left - VALUE_WIDTH - MARGIN);
    let mut y = top;
    for group in &plot.groups {
        let bars = i32::try_from(group.bars.len()).unwrap_or(i32::MAX);
        text(area, &group.label, (left - 10, y + bars * BAR / 2), FONT, HPos::Right)?;
        for bar in &group.bars {
            let share = if plot.longest > 0.0 { (bar.length / plot.longest).min(1.0) } else { 0.0 };
            let right = left + (share * room).round() as i32;
            let color = color(bar.contender, everyone);
            rectangle(area, (left, y + 1), (right.max(left + 1), y + BAR - 1), color)?;
            text(area, &bar.label, (right + 6, y + BAR / 2), FONT - 1.0, HPos::Left)?;
            y += BAR;
        }
        y += GROUP_GAP;
    }
    area.draw(&PathElement::new(vec![(left, top - 4), (left, bottom - 4)], LINE_COLOR))
}

fn color(contender: &str, everyone: &[&str]) -> RGBColor {
    match contender {
        OURS => OURS_COLOR,
        LIMIT => LIMIT_COLOR,
        _ => {
            let others = everyone.iter().filter(|name| ![OURS, LIMIT].contains(name));
            let place = others.take_while(|name| **name != contender).count();
            OTHER_COLORS[place % OTHER_COLORS.len()]
        }
    }
}

fn rectangle<'a>(area: &Area<'a>, from: (i32, i32), to: (i32, i32), color: RGBColor) -> Drawn<'a> {
    area.draw(&Rectangle::new([from, to], color.filled()))
}

fn text<'a>(area: &Area<'a>, text: &str, at: (i32, i32), size: f64, anchor: HPos) -> Drawn<'a> {
    let style = TextStyle::from(("sans-serif", size).into_font()).color(&TEXT_COLOR);
    area.draw(&Text::new(text.to_owned(), at, style.pos(Pos::new(anchor, VPos::Center))))
}

fn width_of(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX)
}
