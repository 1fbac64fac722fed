//! Just enough XML to read S3's answers, which have no attributes that matter and no element within one of the same name.

/// The text of the first element `name`, unescaped.
#[must_use]
pub fn text(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).next().map(unescape)
}

/// The texts of all elements `name`, unescaped.
#[must_use]
pub fn texts(xml: &str, name: &str) -> Vec<String> {
    elements(xml, name).map(unescape).collect()
}

/// What is inside every element `name`, as XML.
pub fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, empty, close) = (format!("<{name}"), format!("<{name}/>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find(&open)?;
            let found = &rest[at..];
            if found.starts_with(&empty) {
                rest = &found[empty.len()..];
                return Some("");
            }
            let after = &found[open.len()..];
            if !after.starts_with(['>', ' ']) {
                // A longer name that begins alike.
                rest = after;
                continue;
            }
            let inner = &after[after.find('>')? + 1..];
            let end = inner.find(&close)?;
            rest = &inner[end + close.len()..];
            return Some(&inner[..end]);
        }
    })
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find(';') else { break };
        let entity = &rest[at + 1..at + end];
        let number =
            |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        let c = match entity {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => match entity.strip_prefix("#x") {
                Some(digits) => number(digits, 16),
                None => entity.strip_prefix('#').and_then(|digits| number(digits, 10)),
            },
        };
        match c {
            Some(c) => out.push(c),
            None => out.push_str(&rest[at..=at + end]),
        }
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out
}

/// A text as it stands in an element.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_their_whole_name() {
        let xml = r#"<L xmlns="x"><KeyCount>2</KeyCount><Key>a&amp;b</Key><Key>&lt;&#x41;&#66;</Key><Key/></L>"#;
        assert_eq!(texts(xml, "Key"), ["a&b", "<AB", ""]);
        assert_eq!(text(xml, "KeyCount").as_deref(), Some("2"));
        assert_eq!(text(xml, "Missing"), None);
        assert!(elements(xml, "L").next().unwrap().starts_with("<KeyCount>"));
    }
}
