//! What a worker is given of certificates: by its master, or, where it serves alone, by itself.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;

use super::{Keeper, News, Parcel};
use crate::config::Config;
use crate::error::Error;

/// Until the body asks for it.
#[derive(Debug)]
pub(crate) enum Handed {
    /// The master's memory file; nobody has looked into it yet.
    File(OwnedFd),
    /// Checked in this process.
    Here(Box<Parcel>),
}

impl Handed {
    /// In a process that serves alone, with what a master would tell after its start; none where no certificate is
    /// configured.
    ///
    /// # Errors
    /// What a master would refuse.
    pub(crate) fn by_itself(
        config: &Config,
        now: SystemTime,
    ) -> Result<(Option<Self>, Vec<News>), Error> {
        let Some(mut keeper) = Keeper::of(config, now)? else {
            return Ok((None, Vec::new()));
        };
        let news = keeper.concerns(now);
        Ok((Some(Self::Here(Box::new(keeper.into_parcel()))), news))
    }

    /// What servers are made with.
    ///
    /// # Errors
    /// The file is none of a master's, or holds what this program cannot use.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, String> {
        let parcel = match self {
            Self::File(fd) => Parcel::read(fd)?,
            Self::Here(parcel) => Parcel::clone(parcel),
        };
        parcel.server_config().map_err(|refusal| refusal.one_line())
    }
}
