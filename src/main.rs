//! `elastic-ip`: arguments → command → report → exit code.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use elastic_ip::{cli, command, journal, lsb};

fn main() -> ExitCode {
    let parsed = cli::parse(env::args_os().collect());
    journal::open(parsed.as_ref().is_ok_and(|invocation| invocation.verbose));
    let report = match parsed {
        Ok(invocation) => lsb::report(invocation.action, command::run(&invocation)),
        Err(misuse) => lsb::misuse(misuse),
    };
    for note in &report.notes {
        log::info!("{note}");
    }
    for complaint in &report.complaints {
        log::error!("{complaint}");
    }
    if let Err(error) = io::stdout().write_all(report.stdout.as_bytes()) {
        log::error!("cannot write to stdout: {error}; it would have said: {}", report.stdout);
    }
    report.exit_code()
}
