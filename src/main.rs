//! `elastic-ip`: arguments → command → report → exit code.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use elastic_ip::{cli, command, journal, lsb, ocf, process};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let is_agent = ocf::is_agent(arguments.first());
    let report = if is_agent {
        journal::open(false);
        process::harden();
        ocf::run(arguments, &|name| env::var(name).ok())
    } else {
        let parsed = cli::parse(arguments);
        journal::open(parsed.as_ref().is_ok_and(|invocation| invocation.verbose));
        process::harden();
        match parsed {
            Ok(invocation) => lsb::report(invocation.action, command::run(&invocation)),
            Err(misuse) => lsb::misuse(misuse),
        }
    };
    for note in &report.notes {
        log::info!("{note}");
    }
    for complaint in &report.complaints {
        log::error!("{complaint}");
    }
    if is_agent && !report.complaints.is_empty() {
        journal::give_exit_reason(&report.complaints.join("; "));
    }
    if let Err(error) = io::stdout().write_all(report.stdout.as_bytes()) {
        log::error!("cannot write to stdout: {error}; it would have said: {}", report.stdout);
    }
    report.exit_code()
}
