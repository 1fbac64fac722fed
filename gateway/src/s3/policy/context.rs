//! What conditions and variables ask of a request.

/// A condition key. Its name is the same in any case; what follows a slash (`s3:ExistingObjectTag/Team`) is taken as it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    name: Box<str>,
    item: Option<Box<str>>,
}

impl Key {
    /// The key of that name.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (name, item) = match text.split_once('/') {
            Some((name, item)) => (name, Some(item.into())),
            None => (text, None),
        };
        Self { name: name.to_ascii_lowercase().into(), item }
    }

    /// The name in lower case, without what follows a slash.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What follows the slash.
    #[must_use]
    pub fn item(&self) -> Option<&str> {
        self.item.as_deref()
    }
}

/// What a request says of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Values {
    /// Nothing.
    Absent,
    /// One value.
    One(String),
    /// A list, which may be empty.
    Many(Vec<String>),
}

impl From<Option<String>> for Values {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::Absent, Self::One)
    }
}

impl Values {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::Absent => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// What is known of a request. Asked only for keys that a policy names.
pub trait Context {
    /// The values of a key.
    fn values(&self, key: &Key) -> Values;
}
