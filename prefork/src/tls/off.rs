//! Replaces this module without feature `tls`: a certificate store that cannot be created.
//!
//! The options of TLS were rejected before.

#![expect(clippy::unnecessary_wraps, reason = "with the feature both can fail")]

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use crate::config::Config;
use crate::error::Error;

#[derive(Debug)]
pub(crate) enum Keeper {}

#[derive(Debug)]
pub(crate) enum News {}

#[derive(Debug)]
#[expect(dead_code, reason = "no event exists")]
pub(crate) enum Weight {
    Good,
    Warning,
    Bad,
}

/// The file of a master that was built with the feature. It is only closed.
#[derive(Debug)]
pub(crate) enum Handed {
    File(#[expect(dead_code, reason = "it is only closed")] OwnedFd),
}

impl Handed {
    pub(crate) fn by_itself(
        _config: &Config,
        _now: SystemTime,
    ) -> Result<(Option<Self>, Vec<News>), Error> {
        Ok((None, Vec::new()))
    }
}

impl News {
    pub(crate) fn weight(&self) -> Weight {
        match *self {}
    }
}

impl fmt::Display for News {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Keeper {
    pub(crate) fn of(_config: &Config, _now: SystemTime) -> Result<Option<Self>, Error> {
        Ok(None)
    }

    pub(crate) fn renew(&mut self, _now: SystemTime) -> Vec<News> {
        match *self {}
    }

    pub(crate) fn concerns(&mut self, _now: SystemTime) -> Vec<News> {
        match *self {}
    }

    pub(crate) fn certificate(&self) -> String {
        match *self {}
    }

    pub(crate) fn parcel_fd(&mut self, _now: Duration) -> io::Result<BorrowedFd<'_>> {
        match *self {}
    }
}
