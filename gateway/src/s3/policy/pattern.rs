//! Text with wildcards and policy variables.
//!
//! `*` is any text, `?` any one character. `${key}` is the value of a condition key, taken literally; `${key, 'text'}` has a default;
//! `${*}`, `${?}` and `${$}` are the characters themselves. Variables exist since version 2012-10-17 only.

use super::context::{Context, Key, Values};

/// A piece of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    One(char),
    AnyOne,
    Any,
    Variable { key: Key, default: Option<Box<str>> },
}

/// A pattern, taken apart once, when the policy is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
    variables: bool,
}

/// How letters and wildcards are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reading {
    /// Whether `*` and `?` are wildcards.
    pub(super) wildcards: bool,
    /// Whether `${…}` is a variable.
    pub(super) variables: bool,
    /// Whether `A` is `a`.
    pub(super) any_case: bool,
}

impl Pattern {
    /// Takes a pattern apart. Every text is one: a `${` without an end is those two characters.
    pub(super) fn read(text: &str, reading: Reading) -> Self {
        let mut pieces = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            let variable = rest.strip_prefix("${").filter(|_| reading.variables);
            if let Some((inner, after)) = variable.and_then(|start| start.split_once('}')) {
                pieces.push(variable_piece(inner));
                rest = after;
                continue;
            }
            rest = &rest[char.len_utf8()..];
            match char {
                // Two stars are one.
                '*' if reading.wildcards && pieces.last() == Some(&Piece::Any) => {}
                '*' if reading.wildcards => pieces.push(Piece::Any),
                '?' if reading.wildcards => pieces.push(Piece::AnyOne),
                other if reading.any_case => pieces.extend(other.to_lowercase().map(Piece::One)),
                other => pieces.push(Piece::One(other)),
            }
        }
        let variables = pieces.iter().any(|piece| matches!(piece, Piece::Variable { .. }));
        Self { pieces, variables }
    }

    /// Whether it says the same of everybody: neither wildcard nor variable.
    pub(super) fn is_fixed(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::One(_)))
    }

    /// Whether a variable in it is the value of a key of that name.
    pub(super) fn names(&self, name: &str) -> bool {
        let named =
            |piece: &Piece| matches!(piece, Piece::Variable { key, .. } if key.name() == name);
        self.variables && self.pieces.iter().any(named)
    }

    /// Whether it is `*`, which matches everything.
    pub(super) fn is_everything(&self) -> bool {
        self.pieces == [Piece::Any]
    }

    /// Whether `text` matches. A variable that has no value and no default matches nothing.
    pub(super) fn matches(&self, text: &str, context: &dyn Context) -> bool {
        if !self.variables {
            return glob(&self.pieces, text);
        }
        expand(&self.pieces, context).is_some_and(|pieces| glob(&pieces, text))
    }

    /// Whether `text` matches, letter by letter in any case. The pattern must have been read so.
    pub(super) fn matches_in_any_case(&self, text: &str, context: &dyn Context) -> bool {
        self.matches(&text.to_lowercase(), context)
    }

    /// Whether an ARN matches: each of its six parts for itself, so that no star reaches over a colon.
    pub(super) fn matches_arn(&self, arn: &str, context: &dyn Context) -> bool {
        let Some(pieces) = expand(&self.pieces, context) else { return false };
        let mut parts = arn.splitn(ARN_PARTS, ':');
        let mut patterns = pieces.splitn(ARN_PARTS, |piece| *piece == Piece::One(':'));
        loop {
            match (patterns.next(), parts.next()) {
                (None, None) => return true,
                (Some(pattern), Some(part)) if glob(pattern, part) => {}
                // `*` alone stands for every ARN.
                _ => return self.is_everything(),
            }
        }
    }
}

/// `arn:partition:service:region:account:resource`.
const ARN_PARTS: usize = 6;

fn variable_piece(inner: &str) -> Piece {
    match inner {
        "*" => return Piece::One('*'),
        "?" => return Piece::One('?'),
        "$" => return Piece::One('$'),
        _ => {}
    }
    let (name, default) = match inner.split_once(',') {
        None => (inner, None),
        Some((name, default)) => {
            let default = default.trim();
            let quoted = default.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            (name, Some(quoted.unwrap_or(default).into()))
        }
    };
    Piece::Variable { key: Key::new(name.trim()), default }
}

/// Puts values in the place of variables; `None` if one has none.
fn expand(pieces: &[Piece], context: &dyn Context) -> Option<Vec<Piece>> {
    let mut expanded = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let Piece::Variable { key, default } = piece else {
            expanded.push(piece.clone());
            continue;
        };
        match context.values(key) {
            Values::One(value) => expanded.extend(value.chars().map(Piece::One)),
            // Of several values nobody could say which is meant.
            Values::Absent | Values::Many(_) => {
                expanded.extend(default.as_deref()?.chars().map(Piece::One));
            }
        }
    }
    Some(expanded)
}

/// Matches greedily, and on a mismatch lets the last star take one character more: linear in all but contrived cases, and never worse than
/// the product of both lengths.
fn glob(pieces: &[Piece], text: &str) -> bool {
    let (mut at, mut rest) = (0, text.chars());
    let mut star: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let before = rest.clone();
        match (pieces.get(at), rest.next()) {
            (Some(Piece::Any), _) => {
                rest = before.clone();
                at += 1;
                star = Some((at, before));
            }
            (Some(Piece::One(wanted)), Some(char)) if *wanted == char => at += 1,
            (Some(Piece::AnyOne), Some(_)) => at += 1,
            (None, None) => return true,
            _ => {
                let Some((after, taken)) = &mut star else { return false };
                if taken.next().is_none() {
                    return false;
                }
                at = *after;
                rest = taken.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    const READING: Reading = Reading { wildcards: true, variables: true, any_case: false };

    struct User(Option<&'static str>);

    impl Context for User {
        fn values(&self, key: &Key) -> Values {
            match self.0 {
                Some(name) if key.name() == "aws:username" => Values::One(name.to_owned()),
                _ => Values::Absent,
            }
        }
    }

    fn matches(pattern: &str, text: &str, user: Option<&'static str>) -> bool {
        Pattern::read(pattern, READING).matches(text, &User(user))
    }

    /// The definition, without any cleverness.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some('*'), _) => {
                naive(&pattern[1..], text) || (!text.is_empty() && naive(pattern, &text[1..]))
            }
            (Some('?'), Some(_)) => naive(&pattern[1..], &text[1..]),
            (Some(wanted), Some(found)) => wanted == found && naive(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_wildcard_means_what_its_definition_says(pattern in "[ab*?]{0,8}", text in "[abc]{0,8}") {
            let (p, t): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text, None), naive(&p, &t));
        }
    }

    #[test]
    fn a_variable_stands_for_its_value_and_not_for_a_wildcard() {
        assert!(matches("home/${aws:username}/*", "home/ann/x", Some("ann")));
        assert!(!matches("home/${aws:username}/*", "home/bob/x", Some("ann")));
        assert!(!matches("home/${aws:username}/*", "home/bob/x", Some("*")));
        assert!(!matches("home/${aws:username}/*", "home//x", None), "no value");
        assert!(matches("home/${aws:username, 'guest'}/*", "home/guest/x", None));
        assert!(matches("${*}${?}${$}{", "*?${", None));
        assert!(matches("${open", "${open", None));
    }

    #[test]
    fn a_star_does_not_reach_over_a_colon_of_an_arn() {
        let arn = |pattern: &str| {
            Pattern::read(pattern, READING).matches_arn("arn:aws:iam::ann:user/team/x", &User(None))
        };
        assert!(arn("arn:aws:iam::ann:user/*"));
        assert!(arn("arn:*:iam::*:user/team/?"));
        assert!(arn("*"));
        assert!(!arn("arn:aws:*:user/team/x"));
        assert!(!arn("arn:aws:iam::bob:*"));
    }
}
