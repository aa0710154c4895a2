//! `elastic-ip`: arguments → command → report → exit code.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use elastic_ip::{check, cli, config, journal, lsb, ocf, policy, process, report, run};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let is_agent = ocf::is_agent(arguments.first());
    let report = if is_agent {
        journal::open(false);
        process::harden();
        ocf::run(arguments, &config::environment)
    } else {
        let parsed = cli::parse(arguments);
        journal::open(parsed.as_ref().is_ok_and(|line| line.verbose));
        process::harden();
        parsed.map_or_else(lsb::misuse, |line| answer(line.call))
    };
    for note in &report.notes {
        log::info!("{note}");
    }
    for complaint in &report.complaints {
        log::error!("{complaint}");
    }
    if is_agent && !report.complaints.is_empty() {
        let reasons: Vec<String> = report.complaints.iter().map(ToString::to_string).collect();
        journal::give_exit_reason(&reasons.join(", and "));
    }
    if let Err(error) = io::stdout().write_all(report.stdout.as_bytes()) {
        log::error!("cannot write to stdout: {error}; it would have said: {}", report.stdout);
    }
    report.exit_code()
}

fn answer(call: cli::Call) -> report::Report {
    use cli::Call;
    match call {
        Call::Act(request, style) => lsb::report(style, run::run(&request)),
        Call::Check { sources, json } => {
            let check = check::run(&sources);
            let stdout = if json { check.document() } else { check.table(style()) };
            lsb::answered(Ok((stdout, check.is_ready())))
        }
        Call::Text(text) => lsb::answered(Ok((text, true))),
        Call::Policy(sources) => lsb::answered(policy::run(&sources).map(|policy| (policy, true))),
    }
}

/// Colour is for people who watch, and have not said no to it (<https://no-color.org>).
fn style() -> check::Style {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || env::var_os("TERM").is_some_and(|term| term == "dumb");
    if io::stdout().is_terminal() && !refused { check::Style::Coloured } else { check::Style::Plain }
}
