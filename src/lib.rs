//! Keeps an EC2 Elastic IP on the live one of two instances.
//!
//! The library is this package's own. What is public in it is for the program, or for the tests, fuzz targets and bench that call a part
//! without the program around it; all else is `pub(crate)`.

#![warn(unreachable_pub)]

// The program's main calls these.
pub mod check;
pub mod cli;
pub mod journal;
pub mod lsb;
pub mod ocf;
pub mod policy;
pub mod process;
pub mod report;
pub mod run;

// So do tests/it, fuzz and bench; and with them these.
pub mod clock;
pub mod config;
pub mod credentials;
pub mod deadline;
pub mod ec2;
pub mod endpoint;
pub mod escape;
pub mod file;
pub mod http;
pub mod ids;
pub mod imds;
pub mod instance;
pub mod message;
pub mod retry;
pub mod takeover;

// Nobody outside needs these.
mod cluster;
mod failure;
mod interfaces;
mod partition;
mod session;
mod signing;
