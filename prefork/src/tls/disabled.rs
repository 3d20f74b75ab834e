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
pub(crate) enum CertificateStore {}

#[derive(Debug)]
pub(crate) enum TlsEvent {}

#[derive(Debug)]
#[expect(dead_code, reason = "no event exists")]
pub(crate) enum TlsEventLevel {
    Info,
    Warning,
    Error,
}

/// The file of a master that was built with the feature. It is only closed.
#[derive(Debug)]
pub(crate) enum BundleSource {
    File(#[expect(dead_code, reason = "it is only closed")] OwnedFd),
}

impl BundleSource {
    pub(crate) fn from_config(
        _config: &Config,
        _now: SystemTime,
    ) -> Result<(Option<Self>, Vec<TlsEvent>), Error> {
        Ok((None, Vec::new()))
    }
}

impl TlsEvent {
    pub(crate) fn level(&self) -> TlsEventLevel {
        match *self {}
    }
}

impl fmt::Display for TlsEvent {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl CertificateStore {
    pub(crate) fn of(_config: &Config, _now: SystemTime) -> Result<Option<Self>, Error> {
        Ok(None)
    }

    pub(crate) fn reload(&mut self, _now: SystemTime) -> Vec<TlsEvent> {
        match *self {}
    }

    pub(crate) fn warnings(&mut self, _now: SystemTime) -> Vec<TlsEvent> {
        match *self {}
    }

    pub(crate) fn certificate(&self) -> String {
        match *self {}
    }

    pub(crate) fn bundle_fd(&mut self, _now: Duration) -> io::Result<BorrowedFd<'_>> {
        match *self {}
    }
}
