//! One figure: ours, what it stands against, and what was promised. A ratio is taken round by round, ours and the anchor a
//! moment apart, because the machine changes from one minute to the next; the median of the rounds counts.

use std::io::{Write as _, stdout};

use anyhow::Context as _;
use serde_json::{Value, json};

/// What is promised of a figure, and what is aimed at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// At least so much.
    AtLeast { must: f64, aim: f64 },
    /// At most so much.
    AtMost { must: f64, aim: f64 },
}

/// Prints a figure whose ratio to an anchor counts: one pair of ours and the anchor's for each round.
pub(crate) fn ratio(name: &str, unit: &str, rounds: &[(f64, f64)], bound: Bound) -> anyhow::Result<()> {
    let ratios: Vec<f64> = rounds.iter().map(|(ours, anchor)| ours / anchor).collect();
    let ratio = median(&ratios).context("no round")?;
    let side = |side: fn(&(f64, f64)) -> f64| median(&rounds.iter().map(side).collect::<Vec<_>>());
    let (ours, anchor) = (side(|round| round.0), side(|round| round.1));
    let spread = [quantile(&ratios, 0.25), quantile(&ratios, 0.75)];
    print(
        bound,
        ratio,
        json!({
            "figure": name, "unit": unit, "ours": ours, "anchor": anchor, "ratio": ratio, "spread": spread, "rounds": rounds.len(),
        }),
    )
}

/// Prints a figure that stands alone: one value for each round.
pub(crate) fn alone(name: &str, unit: &str, rounds: &[f64], bound: Bound) -> anyhow::Result<()> {
    let ours = median(rounds).context("no round")?;
    let spread = [quantile(rounds, 0.25), quantile(rounds, 0.75)];
    print(
        bound,
        ours,
        json!({
            "figure": name, "unit": unit, "ours": ours, "anchor": null, "ratio": null, "spread": spread, "rounds": rounds.len(),
        }),
    )
}

fn print(bound: Bound, value: f64, mut line: Value) -> anyhow::Result<()> {
    let (must, aim, ok) = match bound {
        Bound::AtLeast { must, aim } => (must, aim, value >= must),
        Bound::AtMost { must, aim } => (must, aim, value <= must),
    };
    if let Some(members) = line.as_object_mut() {
        members.extend(
            [("must", json!(must)), ("aim", json!(aim)), ("ok", json!(ok))]
                .map(|(name, value)| (name.to_owned(), value)),
        );
    }
    writeln!(stdout(), "{line}").context("nobody reads the figures")
}

/// The middle value; of an even number the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Between the two nearest values in proportion.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index below a length that is a handful"
)]
fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = sorted.len().checked_sub(1)? as f64 * part;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_median_and_nothing_has_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25), Some(2.0));
    }
}
