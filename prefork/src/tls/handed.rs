//! What a worker is given of certificates: by its master, or, where it serves alone, by itself.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustls::ServerConfig;

use super::{Keeper, Parcel};
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
    /// In a process that serves alone; none where no certificate is configured.
    ///
    /// # Errors
    /// What a master would refuse.
    pub(crate) fn by_itself(config: &Config) -> Result<Option<Self>, Error> {
        let keeper = Keeper::of(config, std::time::SystemTime::now())?;
        let parcel = keeper.map(Keeper::into_parcel);
        Ok(parcel.map(|parcel| Self::Here(Box::new(parcel))))
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
