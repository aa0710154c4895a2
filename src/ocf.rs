//! A call by Pacemaker: OCF's actions and parameters, what became of them in OCF's codes, and the agent's meta-data
//! (<https://github.com/ClusterLabs/OCF-spec/blob/main/ra/1.1/resource-agent-api.md>).

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::cli::{self, Action, Call, Invocation, Misuse};
use crate::config::{Environment, Setting};
use crate::lsb::{self, Report};
use crate::message::Message;
use crate::run::{self, Done};
use crate::session::SetupError;
use crate::takeover::Outcome;

/// The folder of every OCF agent, from its root on.
const AGENTS: &str = "/ocf/resource.d/";

/// How long before Pacemaker ends an operation its call has ended.
const MARGIN: Duration = Duration::from_secs(3);

const USAGE: &str = "use start, stop, monitor, reload-agent, validate-all or meta-data";

/// The configuration name that each parameter stands for; `elastic_ip` and `config` are what the command line may name.
const PARAMETERS: [(&str, &str); 5] = [
    ("region", "AWS_REGION"),
    ("profile", "AWS_PROFILE"),
    ("endpoint", "AWS_ENDPOINT_URL_EC2"),
    ("release_on_stop", "RELEASE_ON_STOP"),
    ("allow_reassociation", "ALLOW_REASSOCIATION"),
];

/// The exit code of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It is done; for a monitor: every address is this instance's.
    Success = 0,
    /// It could not be done, or is not known.
    Failed = 1,
    /// The call itself is wrong.
    BadArguments = 2,
    /// There is no such action.
    Unimplemented = 3,
    /// The caller may not do it on this node.
    NotAllowed = 4,
    /// This node lacks what is needed: its file is missing or wrong, or it has no credentials. Pacemaker goes on elsewhere.
    NotInstalled = 5,
    /// A parameter is wrong, so that it cannot be done on any node.
    NotConfigured = 6,
    /// Some address is not this instance's, or this node claims it no more.
    NotRunning = 7,
    /// Nothing is known to have changed, but it cannot be known at the moment: Pacemaker shows that, and leaves the resource alone.
    Degraded = 190,
}

impl From<Code> for u8 {
    fn from(code: Code) -> Self {
        code as Self
    }
}

/// What Pacemaker asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Start,
    Stop,
    /// Whether this node runs it. Pacemaker repeats it, on a node where it takes it to run, or asks once (a probe).
    Monitor {
        repeated: bool,
    },
    /// Whether it could run here; `deep` asks EC2 as well.
    Validate {
        deep: bool,
    },
}

impl Operation {
    fn action(self) -> Action {
        match self {
            Self::Start => Action::Start,
            Self::Stop => Action::Stop,
            Self::Monitor { .. } | Self::Validate { .. } => Action::Status,
        }
    }
}

/// A call that has nothing to do with any address: what it prints, or why it cannot be understood.
enum Without {
    Text(String),
    Wrong(Code, Message),
}

/// Whether the program was called as an OCF agent: by a path in the folder of those. Heartbeat exports some of OCF's
/// variables too, so the environment does not tell.
#[must_use]
pub fn is_agent(program: Option<&OsString>) -> bool {
    program.is_some_and(|program| program.as_encoded_bytes().windows(AGENTS.len()).any(|part| part == AGENTS.as_bytes()))
}

/// Does what Pacemaker asks. `arguments` begin with the program's own name.
#[must_use]
pub fn run(arguments: Vec<OsString>, environment: Environment) -> Report {
    let (operation, invocation) = match parse(arguments, environment) {
        Ok(understood) => understood,
        Err(Without::Text(stdout)) => return Report::new(stdout, vec![], Code::Success),
        Err(Without::Wrong(code, line)) => return Report::new(String::new(), vec![line], code),
    };
    if operation == (Operation::Validate { deep: false }) {
        return validated(run::validate(&invocation));
    }
    let done = run::run(&invocation);
    let code = judge(operation, &done);
    let report = lsb::report(operation.action(), done);
    let stdout = if matches!(operation, Operation::Validate { .. }) { String::new() } else { report.stdout };
    Report { stdout, code: code.into(), ..report }
}

fn validated(validated: Result<(), SetupError>) -> Report {
    match validated {
        Ok(()) => Report::new(String::new(), vec![], Code::Success),
        Err(error) => {
            let code = errord(&error);
            Report { stdout: String::new(), code: code.into(), ..lsb::report(Action::Status, Err(error)) }
        }
    }
}

/// The action comes last; the options before it are those of the command line.
fn parse(mut arguments: Vec<OsString>, environment: Environment) -> Result<(Operation, Invocation), Without> {
    let last = if arguments.len() > 1 { arguments.pop() } else { None };
    let Some(word) = last else { return Err(Without::Wrong(Code::BadArguments, Message::new("no action given", USAGE))) };
    let operation = match word.to_string_lossy().as_ref() {
        "start" => Operation::Start,
        "stop" => Operation::Stop,
        "monitor" | "status" => Operation::Monitor { repeated: milliseconds(environment, "CRM_meta_interval").is_some() },
        // The parameters are read afresh at each call.
        "reload-agent" => Operation::Validate { deep: false },
        "validate-all" => Operation::Validate { deep: environment("OCF_CHECK_LEVEL").is_some_and(|level| level.trim() == "10") },
        "meta-data" => return Err(Without::Text(metadata())),
        "usage" | "help" | "--help" => return Err(Without::Text(format!("{USAGE}; see elastic-ip(8)\n"))),
        other => return Err(Without::Wrong(Code::Unimplemented, Message::new(format!("{other:?} is not an action of this agent"), USAGE))),
    };
    let word = if operation.action() == Action::Status { OsStr::new("status") } else { &word };
    arguments.push(word.to_owned());
    let call = cli::parse(arguments).map_err(|misuse| match misuse {
        Misuse::Asked(text) => Without::Text(text),
        Misuse::BadArguments(line) | Misuse::BadStatusArguments { line, .. } | Misuse::UnknownAction(line) => {
            Without::Wrong(Code::BadArguments, line)
        }
    })?;
    let Call::Act(mut invocation) = call else { return Err(Without::Wrong(Code::BadArguments, USAGE.into())) };
    configure(&mut invocation, environment).map_err(|line| Without::Wrong(Code::NotConfigured, line))?;
    Ok((operation, invocation))
}

/// Hands the parameters and Pacemaker's time limit over. The error is one line that names the parameter that is wrong.
fn configure(invocation: &mut Invocation, environment: Environment) -> Result<(), Message> {
    let given = |parameter: &str| Setting::new(&environment(&format!("OCF_RESKEY_{parameter}"))?, format!("parameter {parameter}"));
    if let Some(setting) = given("elastic_ip") {
        invocation.targets = setting.targets()?;
    }
    if let Some(setting) = given("config") {
        invocation.config = Some(setting.absolute_path()?);
    }
    for (parameter, name) in PARAMETERS {
        let Some(setting) = given(parameter) else { continue };
        match name {
            "AWS_REGION" => drop(setting.region()?),
            "AWS_ENDPOINT_URL_EC2" => drop(setting.url(&["https", "http"])?),
            "RELEASE_ON_STOP" | "ALLOW_REASSOCIATION" => drop(setting.truth()?),
            _ => {}
        }
        invocation.parameters.push((name, setting));
    }
    invocation.limit = milliseconds(environment, "CRM_meta_timeout").map(limit);
    Ok(())
}

/// How long a call may take for which Pacemaker allows this time.
fn limit(allowed: Duration) -> Duration {
    allowed.saturating_sub(MARGIN).max(allowed / 3)
}

/// A time that Pacemaker tells, in whole milliseconds; 0 is none.
fn milliseconds(environment: Environment, name: &str) -> Option<Duration> {
    let value: u64 = environment(&format!("OCF_RESKEY_{name}"))?.trim().parse().ok()?;
    (value > 0).then(|| Duration::from_millis(value))
}

fn judge(operation: Operation, done: &Result<Done, SetupError>) -> Code {
    let unknown = match operation {
        Operation::Monitor { repeated: true } => Code::Degraded,
        _ => Code::Failed,
    };
    let done = match (done, operation) {
        (Ok(done), _) => done,
        // To Pacemaker any other code would be a reason to stop it, which could not be done for the same error.
        (Err(_), Operation::Monitor { repeated: true }) => return Code::Degraded,
        (Err(error), _) => return errord(error),
    };
    let mut outcomes = done.outcomes.iter().map(|(_, outcome)| outcome);
    if outcomes.clone().any(Result::is_err) {
        return unknown;
    }
    match operation {
        Operation::Monitor { .. } if !outcomes.all(|outcome| matches!(outcome, Ok(Outcome::Held))) => Code::NotRunning,
        _ => Code::Success,
    }
}

/// What is wrong with this node's file or its keys need not be wrong with the peer's: with [`Code::NotConfigured`], Pacemaker
/// would end the resource on both.
fn errord(error: &SetupError) -> Code {
    match error {
        SetupError::NotConfigured(_) | SetupError::NoCredentials => Code::NotInstalled,
        SetupError::NotAllowed(_) => Code::NotAllowed,
        SetupError::Unavailable(_) => Code::Failed,
    }
}

fn metadata() -> String {
    include_str!("ocf/metadata.xml").replace("@VERSION@", env!("CARGO_PKG_VERSION"))
}
