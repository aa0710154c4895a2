//! What is said beside stdout: one line each, on stderr and in syslog.

use std::env;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

use crate::escape::one_line;

const SOCKET: &str = "/dev/log";

struct Journal {
    syslog: Option<Mutex<Logger<LoggerBackend, Formatter3164>>>,
}

/// Opens the journal; `verbose` adds each request. Without a syslog daemon there is only stderr.
pub fn open(verbose: bool) {
    // Heartbeat tells its resource scripts which facility it logs to, or that syslog is not to be used.
    let facility = env::var("HA_LOGFACILITY").ok();
    let syslog = if facility.as_deref() == Some("none") { None } else { connect(facility).ok() };
    let journal = Journal { syslog: syslog.map(Mutex::new) };
    if log::set_boxed_logger(Box::new(journal)).is_ok() {
        log::set_max_level(if verbose { LevelFilter::Debug } else { LevelFilter::Info });
    }
}

/// Gives Pacemaker the reason that it shows beside a failed action: a line on stderr in a form of its own.
pub fn give_exit_reason(reason: &str) {
    let _ = writeln!(io::stderr(), "ocf-exit-reason:{}", one_line(reason));
}

fn connect(facility: Option<String>) -> io::Result<Logger<LoggerBackend, Formatter3164>> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SOCKET)?;
    // A syslog daemon that hangs must not make the address hang.
    socket.set_nonblocking(true)?;
    let facility = facility.and_then(|name| name.parse().ok()).unwrap_or(Facility::LOG_DAEMON);
    let formatter = Formatter3164 { facility, hostname: None, process: "elastic-ip".to_owned(), pid: std::process::id() };
    Ok(Logger::new(LoggerBackend::Unix(socket), formatter))
}

impl Log for Journal {
    /// Only this program's own words: what rusoto and reqwest log may hold keys.
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().split("::").next() == Some("elastic_ip")
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = one_line(&record.args().to_string());
        // Where neither stderr nor syslog takes the line, there is nobody left to tell.
        let _ = writeln!(io::stderr(), "elastic-ip: {line}");
        if let Some(syslog) = &self.syslog {
            let mut syslog = syslog.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = match record.level() {
                Level::Error => syslog.err(line),
                Level::Warn => syslog.warning(line),
                Level::Info => syslog.info(line),
                Level::Debug | Level::Trace => syslog.debug(line),
            };
        }
    }

    fn flush(&self) {}
}
