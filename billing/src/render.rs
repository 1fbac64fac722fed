//! Documents as text: CSV by RFC 4180, and pages that print.

use std::fmt::Write as _;

/// One line of CSV. Fields with separators, quotes or line ends are quoted. A field that a spreadsheet would run as a formula gets an
/// apostrophe in front, unless it is a number.
pub(crate) fn csv_line<T: AsRef<str>>(out: &mut String, fields: impl IntoIterator<Item = T>) {
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        csv_field(out, field.as_ref());
    }
    out.push_str("\r\n");
}

fn csv_field(out: &mut String, field: &str) {
    let is_number = field
        .strip_prefix('-')
        .unwrap_or(field)
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let guard = if field.starts_with(['=', '+', '-', '@', '\t']) && !is_number { "'" } else { "" };
    if field.contains([',', '"', '\r', '\n']) {
        out.push('"');
        out.push_str(guard);
        out.push_str(&field.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(guard);
        out.push_str(field);
    }
}

/// `text` as it stands in HTML or XML.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A page that prints on A4 and needs nothing from the network.
pub(crate) struct Page {
    out: String,
}

impl Page {
    pub(crate) fn new(title: &str) -> Self {
        let title = escaped(title);
        let out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <style>\n\
             @page {{ size: A4; margin: 18mm }}\n\
             body {{ font: 10pt/1.4 sans-serif; color: #111; max-width: 180mm; margin: 0 auto }}\n\
             table {{ border-collapse: collapse; width: 100%; margin: 1em 0 }}\n\
             th, td {{ border-bottom: 1px solid #bbb; padding: 2pt 4pt; text-align: left; vertical-align: top }}\n\
             td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums }}\n\
             p.note {{ color: #444 }}\n\
             </style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        );
        Self { out }
    }

    /// A paragraph of lines.
    pub(crate) fn lines<T: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = T>) {
        let lines: Vec<String> = lines
            .into_iter()
            .filter(|line| !line.as_ref().is_empty())
            .map(|line| escaped(line.as_ref()))
            .collect();
        if !lines.is_empty() {
            let _ = writeln!(self.out, "<p>{}</p>", lines.join("<br>\n"));
        }
    }

    /// A paragraph in small print.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = writeln!(self.out, "<p class=\"note\">{}</p>", escaped(text));
    }

    pub(crate) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.out, "<h2>{}</h2>", escaped(text));
    }

    /// A table; columns whose head begins with `#` hold numbers.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.out.push_str("<table>\n<thead><tr>");
        for cell in head {
            let class = if cell.starts_with('#') { " class=\"n\"" } else { "" };
            let _ = write!(self.out, "<th{class}>{}</th>", escaped(cell.trim_start_matches('#')));
        }
        self.out.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.out.push_str("<tr>");
            for (cell, head) in row.iter().zip(head) {
                let class = if head.starts_with('#') { " class=\"n\"" } else { "" };
                let _ = write!(self.out, "<td{class}>{}</td>", escaped(cell));
            }
            self.out.push_str("</tr>\n");
        }
        self.out.push_str("</tbody>\n</table>\n");
    }

    pub(crate) fn finish(mut self) -> String {
        self.out.push_str("</body>\n</html>\n");
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_would_break_it_and_disarms_formulas() {
        let mut out = String::new();
        csv_line(&mut out, ["plain", "a,b", "say \"x\"", "two\nlines", "=1+1", "-12.50", "-x"]);
        assert_eq!(out, "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",'=1+1,-12.50,'-x\r\n");
    }

    #[test]
    fn a_page_shows_text_and_never_runs_it() {
        let mut page = Page::new("<script>");
        page.lines(["a & b", ""]);
        page.table(&["what", "#much"], &[vec!["\"x\"".to_owned(), "1".to_owned()]]);
        let html = page.finish();
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"));
        assert!(html.contains("<td>&quot;x&quot;</td><td class=\"n\">1</td>"));
    }
}
