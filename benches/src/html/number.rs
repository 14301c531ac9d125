//! Figures as people read them.

/// A figure with about three digits that count: `0.0123`, `1.23`, `45.6`, `789`, `12.3 k`, `1.23 M`.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => "–".to_owned(),
        0.0 => "0".to_owned(),
        _ if size >= 999_500.0 => format!("{} M", digits(value / 1e6)),
        _ if size >= 9_999.5 => format!("{} k", digits(value / 1e3)),
        _ => digits(value),
    }
}

fn digits(value: f64) -> String {
    // Rounded first: 99.96 has no place behind its point, as it is 100.
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.0995 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_three_digits_are_shown() {
        let said = [0.0, 0.01234, 1.234, 45.64, 99.97, 789.4, 4250.0, 12_345.0, 1.9e6, f64::NAN].map(short);
        assert_eq!(said, ["0", "0.0123", "1.23", "45.6", "100", "789", "4250", "12.3 k", "1.90 M", "–"]);
    }
}
