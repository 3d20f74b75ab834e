//! The setters of the options with values, generated from the table of options.
//!
//! They record values and errors. They do not know what the values mean.

use prefork_options::IntoOption;

use super::Prefork;

macro_rules! define {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ty {
            $(env: $env:literal, $(#[doc = $note:expr])* getter: $getter:ident -> $view:ty,)?
            $(feature: $feature:literal,)? default: $how:ident $(($computed:ty))? $default:literal,
            $(unit: $unit:literal,)? since: $since:literal, example: $example:expr
        } )* }
        // Their setters are written by hand in `callbacks.rs`, because each takes another function
        // type.
        code { $($code:tt)* }
    ) => {
        /// Options with values.
        ///
        /// An invalid value is reported by `run` or `start`, together with all other errors.
        impl Prefork {
            $(
                $(#[doc = $doc])*
                #[doc = ""]
                #[doc = concat!(
                    "Default: ", $default, ".", $(" Unit: ", $unit, ".",)?
                    $(" Environment variable: `", $env, "`.",)?
                    $(" Needs feature `", $feature, "`.",)? " Since ", $since, "."
                )]
                #[doc = "# Examples"]
                // Some options need a feature, so these examples are compiled if all of them are on.
                #[doc = option_example!()]
                #[doc = concat!("#[prefork::main(", stringify!($name), " = ", stringify!($example), ")]")]
                #[doc = "async fn main() {}\n```\n```no_run"]
                #[doc = concat!("let prefork = prefork::Prefork::new().", stringify!($name), "(", stringify!($example), ");")]
                #[doc = "```"]
                #[track_caller]
                pub fn $name(mut self, value: impl IntoOption<$kind>) -> Self {
                    self.options.set(stringify!($name), |it| &mut it.$name, value.into_option());
                    self
                }
            )*
        }
    };
}

prefork_options::options! { define }
