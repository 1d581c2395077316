//! The median of several rounds.

/// The middle one, of two the larger; there has to be one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
