//! The layers of one option: its values by source, and which of them counts.
//!
//! It knows the order of the layers; it does not know what the values mean.

use std::fmt;
use std::panic::Location;

/// The part of the program that sets a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ProgramSource {
    Attribute,
    #[default]
    Builder,
    /// The `configure` function.
    Configure,
}

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    Program(ProgramSource, &'static Location<'static>),
    /// The name of an environment variable.
    Variable(String),
}

impl Origin {
    /// Label for an error in a value of this source.
    ///
    /// For a value in the source code it is the option's name. A value of `configure` may come from
    /// elsewhere, such as a flag, so its label names `configure`.
    pub(super) fn label(&self, option: &str) -> String {
        match self {
            Self::Variable(name) => name.clone(),
            Self::Program(ProgramSource::Configure, _) => format!("configure: {option}"),
            Self::Default | Self::Program(ProgramSource::Attribute | ProgramSource::Builder, _) => {
                option.to_owned()
            }
        }
    }

    /// Whether a value of the one source replaces a value of the other.
    fn is_same_layer(&self, other: &Self) -> bool {
        match self {
            Self::Default => false,
            Self::Program(one, _) => matches!(other, Self::Program(other, _) if one == other),
            Self::Variable(one) => matches!(other, Self::Variable(other) if one == other),
        }
    }

    /// Whether the value is written in the program, or is a default.
    pub(super) fn is_declaration(&self) -> bool {
        match self {
            Self::Default | Self::Program(ProgramSource::Attribute | ProgramSource::Builder, _) => {
                true
            }
            Self::Program(ProgramSource::Configure, _) | Self::Variable(_) => false,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Program(source, location) => {
                let source = match source {
                    ProgramSource::Attribute => "attribute",
                    ProgramSource::Builder => "builder",
                    ProgramSource::Configure => "configure",
                };
                write!(f, "{source} at {}:{}", location.file(), location.line())
            }
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// The values of one option, one for each layer; the last one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layers<T> {
    layers: Vec<Layer<T>>,
    /// The labels of invalid values that no later layer replaced. Their errors are kept elsewhere.
    invalid: Vec<String>,
}

// A derived implementation would require `T: Default`.
impl<T> Default for Layers<T> {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            invalid: Vec::new(),
        }
    }
}

impl<T> Layers<T> {
    /// Label for an error of the option: the variable that set it, or the option's name.
    pub(crate) fn label(&self, option: &str) -> String {
        self.origin().label(option)
    }

    /// Adds a layer, or replaces the last one if it has the same source.
    pub(crate) fn push(&mut self, value: T, origin: Origin) {
        self.layers
            .pop_if(|last| last.origin.is_same_layer(&origin));
        self.layers.push(Layer { value, origin });
    }

    /// Records the label of an invalid value.
    pub(super) fn mark_invalid(&mut self, label: String) {
        self.invalid.push(label);
    }

    /// Removes the labels of the invalid values, which a later layer replaces.
    pub(super) fn clear_invalid(&mut self) -> Vec<String> {
        std::mem::take(&mut self.invalid)
    }

    /// Whether no invalid value counts.
    ///
    /// If one does, the intended value is unknown, and checks against other options would report
    /// wrong errors.
    pub(super) fn is_valid(&self) -> bool {
        self.invalid.is_empty()
    }

    /// Whether the option is set, even if to an invalid value.
    pub(super) fn is_set(&self) -> bool {
        !self.invalid.is_empty() || !self.layers.is_empty()
    }

    pub(crate) fn last(&self) -> Option<&Layer<T>> {
        self.layers.last()
    }

    pub(crate) fn into_last(mut self) -> Option<Layer<T>> {
        self.layers.pop()
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.last().map(|layer| &layer.value)
    }

    /// The value, or this default.
    pub(super) fn or_else(&self, default: impl FnOnce() -> T) -> T
    where
        T: Clone,
    {
        self.value().cloned().unwrap_or_else(default)
    }

    pub(crate) fn origin(&self) -> Origin {
        self.last()
            .map_or(Origin::Default, |layer| layer.origin.clone())
    }

    /// The layers that the last one overrides, the oldest first.
    pub(crate) fn overridden(&self) -> &[Layer<T>] {
        self.layers.split_last().map_or(&[], |(_, before)| before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn builder() -> Origin {
        Origin::Program(ProgramSource::Builder, Location::caller())
    }

    #[test]
    fn the_last_layer_counts_and_the_others_are_kept() {
        let mut layers = Layers::default();
        layers.push(1, builder());
        layers.push(2, builder());
        layers.push(3, Origin::Variable("PREFORK_X".to_owned()));
        assert_eq!(layers.value(), Some(&3));
        assert_eq!(layers.origin().to_string(), "PREFORK_X");
        assert_eq!(layers.label("x"), "PREFORK_X");
        let before: Vec<i32> = layers
            .overridden()
            .iter()
            .map(|layer| layer.value)
            .collect();
        assert_eq!(before, [2]);
    }

    #[test]
    fn an_invalid_value_counts_until_it_is_replaced() {
        let mut layers = Layers::default();
        layers.push(1, builder());
        layers.mark_invalid("PREFORK_X".to_owned());
        assert!(!layers.is_valid() && layers.is_set());
        assert_eq!(layers.value(), Some(&1));
        assert_eq!(layers.clear_invalid(), ["PREFORK_X"]);
        assert!(layers.is_valid());
    }

    #[test]
    fn an_option_that_is_not_set_has_its_default() {
        let layers = Layers::<u32>::default();
        assert_eq!((layers.value(), layers.origin()), (None, Origin::Default));
        assert_eq!(layers.overridden(), []);
        assert_eq!(layers.label("x"), "x");
    }

    #[test]
    fn an_origin_in_the_program_is_shown_with_file_and_line() {
        let text = builder().to_string();
        assert!(
            text.starts_with(&format!("builder at {}:", file!())),
            "{text}"
        );
    }
}
