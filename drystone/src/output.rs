//! What is printed: tables for people, JSON for programs. Answers go to standard output, everything else to standard error.

use std::io::{self, Write as _};

use serde_json::Value;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints an answer: as it is for programs, in words for people.
    pub(crate) fn show(self, answer: &Value, words: impl FnOnce(&Value) -> String) {
        let text = if self.json { pretty(answer) } else { words(answer) };
        // Whoever closed our output does not want to hear of it.
        let _ = writeln!(io::stdout().lock(), "{}", text.trim_end());
    }

    /// Prints one line of JSON or lines of words, at once.
    pub(crate) fn announce(self, facts: &Value, words: impl FnOnce() -> String) {
        let text = if self.json { facts.to_string() } else { words() };
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{}", text.trim_end());
        let _ = out.flush();
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// Rows under a heading, in columns. `nothing` is said when there are none.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>], nothing: &str) -> String {
    if rows.is_empty() {
        return nothing.to_owned();
    }
    let widths: Vec<usize> = heading
        .iter()
        .enumerate()
        .map(|(at, title)| {
            rows.iter().map(|row| width(row.get(at))).max().unwrap_or(0).max(title.chars().count())
        })
        .collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heading: Vec<String> = heading.iter().map(|title| (*title).to_owned()).collect();
    std::iter::once(line(&heading))
        .chain(rows.iter().map(|row| line(row)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn width(cell: Option<&String>) -> usize {
    cell.map_or(0, |cell| cell.chars().count())
}

/// A field of an answer as text; empty if it is null or not there.
pub(crate) fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A field of an answer as a size for people; empty if it is null or not there.
pub(crate) fn size(value: &Value, field: &str) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let Some(bytes) = value.get(field).and_then(Value::as_u64) else { return String::new() };
    let (mut scaled, mut unit) = (bytes as f64, 0);
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && scaled < 9.95);
    format!("{scaled:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "ß".to_owned()], vec!["longer".to_owned(), String::new()]];
        assert_eq!(table(&["X", "NAME"], &rows, ""), "X       NAME\na       ß\nlonger");
        assert_eq!(table(&["X"], &[], "nothing"), "nothing");
    }

    #[test]
    fn sizes_are_short() {
        let shown = |bytes: u64| size(&json!({"n": bytes}), "n");
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(999), "999 B");
        assert_eq!(shown(1_000), "1.0 kB");
        assert_eq!(shown(12_345_678), "12 MB");
        assert_eq!(shown(999_999), "1.0 MB");
        assert_eq!(size(&json!({"n": null}), "n"), "");
    }
}
