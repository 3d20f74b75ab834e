//! Where a value comes from, and what it took precedence over.
//!
//! It knows the order in which layers were said; it does not know what they mean.

use std::fmt;
use std::panic::Location;

/// Where the program itself speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Door {
    Attribute,
    #[default]
    Builder,
    /// The function that has the last word.
    Configure,
}

/// Who said a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    Program(Door, &'static Location<'static>),
    /// By its name.
    Variable(String),
}

impl Origin {
    /// Where a mistake in what it said is looked for. The program's own is known by the option: it is in the source, while
    /// `configure` hands on what somebody has told it.
    pub(super) fn place(&self, option: &str) -> String {
        match self {
            Self::Variable(name) => name.clone(),
            Self::Program(Door::Configure, _) => format!("configure: {option}"),
            Self::Default | Self::Program(Door::Attribute | Door::Builder, _) => option.to_owned(),
        }
    }

    /// Whether it is what the program was written with, before anybody else spoke.
    pub(super) fn is_declaration(&self) -> bool {
        match self {
            Self::Default | Self::Program(Door::Attribute | Door::Builder, _) => true,
            Self::Program(Door::Configure, _) | Self::Variable(_) => false,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Program(door, place) => {
                let door = match door {
                    Door::Attribute => "attribute",
                    Door::Builder => "builder",
                    Door::Configure => "configure",
                };
                write!(f, "{door} at {}:{}", place.file(), place.line())
            }
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// What was said about one option, one value a layer; the last holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layers<T> {
    said: Vec<Said<T>>,
    /// The places of values that could not be read and that no later layer replaced. Why, stands among the mistakes.
    unread: Vec<String>,
}

// Derived, it would ask for a default of `T`.
impl<T> Default for Layers<T> {
    fn default() -> Self {
        Self {
            said: Vec::new(),
            unread: Vec::new(),
        }
    }
}

impl<T> Layers<T> {
    /// Whom a mistake in it is told by: the variable that said it, else the option.
    pub(crate) fn place(&self, option: &str) -> String {
        self.origin().place(option)
    }

    /// Says it in a new layer, or again in the same one.
    pub(crate) fn say(&mut self, value: T, origin: Origin) {
        let is_same_layer = |last: &Said<T>| match (&last.origin, &origin) {
            (Origin::Program(last, _), Origin::Program(door, _)) => last == door,
            (Origin::Variable(last), Origin::Variable(name)) => last == name,
            (_, _) => false,
        };
        self.said.pop_if(|last| is_same_layer(last));
        self.said.push(Said { value, origin });
    }

    /// Notes a value that could not be read, by its place.
    pub(super) fn note_mistake(&mut self, place: String) {
        self.unread.push(place);
    }

    /// The places of the unreadable values, which a later layer replaces as a whole.
    pub(super) fn replace_unread(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unread)
    }

    /// Whether every value that counts could be read. If not, the option has another value than the one here, and a check
    /// against other options would report what does not hold.
    pub(super) fn is_known(&self) -> bool {
        self.unread.is_empty()
    }

    /// Whether the option was set, also by a value that could not be read.
    pub(super) fn is_wanted(&self) -> bool {
        !self.unread.is_empty() || !self.said.is_empty()
    }

    pub(crate) fn last(&self) -> Option<&Said<T>> {
        self.said.last()
    }

    pub(crate) fn into_last(mut self) -> Option<Said<T>> {
        self.said.pop()
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.last().map(|said| &said.value)
    }

    /// What was said, or this.
    pub(super) fn or(&self, default: T) -> T
    where
        T: Clone,
    {
        self.value().cloned().unwrap_or(default)
    }

    pub(crate) fn origin(&self) -> Origin {
        self.last()
            .map_or(Origin::Default, |said| said.origin.clone())
    }

    /// What holds no longer, the oldest first.
    pub(crate) fn overridden(&self) -> &[Said<T>] {
        self.said.split_last().map_or(&[], |(_, before)| before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn builder() -> Origin {
        Origin::Program(Door::Builder, Location::caller())
    }

    #[test]
    fn the_last_layer_holds_and_the_others_are_remembered() {
        let mut layers = Layers::default();
        layers.say(1, builder());
        layers.say(2, builder());
        layers.say(3, Origin::Variable("PREFORK_X".to_owned()));
        assert_eq!(layers.value(), Some(&3));
        assert_eq!(layers.origin().to_string(), "PREFORK_X");
        assert_eq!(layers.place("x"), "PREFORK_X");
        let before: Vec<i32> = layers.overridden().iter().map(|said| said.value).collect();
        assert_eq!(before, [2]);
    }

    #[test]
    fn a_value_that_could_not_be_read_leaves_the_option_unknown_until_it_is_replaced() {
        let mut layers = Layers::default();
        layers.say(1, builder());
        layers.note_mistake("PREFORK_X".to_owned());
        assert!(!layers.is_known() && layers.is_wanted());
        assert_eq!(layers.value(), Some(&1));
        assert_eq!(layers.replace_unread(), ["PREFORK_X"]);
        assert!(layers.is_known());
    }

    #[test]
    fn nothing_said_is_the_default() {
        let layers = Layers::<u32>::default();
        assert_eq!((layers.value(), layers.origin()), (None, Origin::Default));
        assert_eq!(layers.overridden(), []);
        assert_eq!(layers.place("x"), "x");
    }

    #[test]
    fn a_place_in_the_program_is_told_by_file_and_line() {
        let text = builder().to_string();
        assert!(
            text.starts_with("builder at prefork/src/config/origin.rs:"),
            "{text}"
        );
    }
}
