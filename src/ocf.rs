//! A call by Pacemaker: OCF's actions and parameters, what became of them in OCF's codes, and the agent's meta-data
//! (<https://github.com/ClusterLabs/OCF-spec/blob/main/ra/1.1/resource-agent-api.md>).

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::{self, Call};
use crate::config::{Environment, Setting};
use crate::failure::Failure;
use crate::message::Message;
use crate::report::{Report, Style, Summary};
use crate::run::{self, Done, Request};
use crate::session::{Kind, SetupError};

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
pub(crate) enum Code {
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
    /// The command line's word for it.
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Monitor { .. } | Self::Validate { .. } => "status",
        }
    }

    /// How it is answered.
    fn style(self) -> Style {
        match self {
            Self::Start | Self::Stop => Style::Action,
            Self::Monitor { .. } => Style::Status,
            Self::Validate { .. } => Style::Silent,
        }
    }

    fn code(self, result: &Result<Done, SetupError>) -> Code {
        match (self, result.as_ref().map(Summary::of)) {
            // To Pacemaker any other code would be a reason to stop it, which could not be done for the same error.
            (Self::Monitor { repeated: true }, Err(_) | Ok(Summary::Unknown)) => Code::Degraded,
            (_, Err(error)) => error.into(),
            (_, Ok(Summary::Unknown)) => Code::Failed,
            (Self::Monitor { .. }, Ok(Summary::NotHeld)) => Code::NotRunning,
            (_, Ok(Summary::Held | Summary::NotHeld)) => Code::Success,
        }
    }
}

/// What is wrong with this node's file or its keys need not be wrong with the peer's: with [`Code::NotConfigured`], Pacemaker
/// would end the resource on both.
impl From<&SetupError> for Code {
    fn from(error: &SetupError) -> Self {
        match error.kind {
            Kind::NotConfigured | Kind::NoCredentials => Self::NotInstalled,
            Kind::NotAllowed => Self::NotAllowed,
            Kind::Unavailable => Self::Failed,
        }
    }
}

/// A call that was understood.
enum Understood {
    /// To act on addresses, or to look whether that is possible.
    Call(Operation, Request),
    /// To print this.
    Text(String),
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
    match parse(arguments, environment) {
        Err(Failure { kind: code, message }) => Report::new(String::new(), vec![message], code),
        Ok(Understood::Text(stdout)) => Report::new(stdout, vec![], Code::Success),
        Ok(Understood::Call(operation @ Operation::Validate { deep: false }, request)) => match run::validate(&request.sources) {
            Ok(()) => Report::new(String::new(), vec![], Code::Success),
            Err(error) => Report::of_error(operation.style(), Code::from(&error), error),
        },
        Ok(Understood::Call(operation, request)) => {
            let result = run::run(&request);
            Report::of(operation.style(), operation.code(&result), result)
        }
    }
}

/// The action comes last; the options before it are those of the command line.
fn parse(mut arguments: Vec<OsString>, environment: Environment) -> Result<Understood, Failure<Code>> {
    let last = if arguments.len() > 1 { arguments.pop() } else { None };
    let word = last.ok_or_else(|| Failure::new(Code::BadArguments, Message::new("no action given", USAGE)))?;
    let operation = match word.to_string_lossy().as_ref() {
        "start" => Operation::Start,
        "stop" => Operation::Stop,
        "monitor" | "status" => Operation::Monitor { repeated: milliseconds(environment, "CRM_meta_interval").is_some() },
        // The parameters are read afresh at each call.
        "reload-agent" => Operation::Validate { deep: false },
        "validate-all" => Operation::Validate { deep: environment("OCF_CHECK_LEVEL").is_some_and(|level| level.trim() == "10") },
        "meta-data" => return Ok(Understood::Text(metadata())),
        "usage" | "help" | "--help" => return Ok(Understood::Text(format!("{USAGE}; see elastic-ip(8)\n"))),
        other => return Err(Failure::new(Code::Unimplemented, Message::new(format!("{other:?} is not an action of this agent"), USAGE))),
    };
    arguments.push(operation.word().into());
    let mut request = match cli::parse(arguments).map_err(|error| error.map(|_| Code::BadArguments))?.call {
        Call::Act(request, _) => request,
        Call::Text(text) => return Ok(Understood::Text(text)),
        Call::Check { .. } | Call::Policy(_) => return Err(Failure::new(Code::BadArguments, USAGE)),
    };
    configure(&mut request, environment).map_err(|line| Failure::new(Code::NotConfigured, line))?;
    Ok(Understood::Call(operation, request))
}

/// Hands the parameters and Pacemaker's time limit over. The error is one line that names the parameter that is wrong.
fn configure(request: &mut Request, environment: Environment) -> Result<(), Message> {
    let given = |parameter: &str| Setting::new(&environment(&format!("OCF_RESKEY_{parameter}"))?, format!("parameter {parameter}"));
    if let Some(setting) = given("elastic_ip") {
        request.sources.targets = setting.targets()?;
    }
    if let Some(setting) = given("config") {
        request.sources.file = Some(setting.absolute_path()?);
    }
    for (parameter, name) in PARAMETERS {
        let Some(setting) = given(parameter) else { continue };
        match name {
            "AWS_REGION" => drop(setting.region()?),
            "AWS_ENDPOINT_URL_EC2" => drop(setting.url(&["https", "http"])?),
            "RELEASE_ON_STOP" | "ALLOW_REASSOCIATION" => drop(setting.truth()?),
            _ => {}
        }
        request.sources.parameters.push((name, setting));
    }
    request.limit = milliseconds(environment, "CRM_meta_timeout").map(limit);
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

fn metadata() -> String {
    include_str!("ocf/metadata.xml").replace("@VERSION@", env!("CARGO_PKG_VERSION"))
}
