//! Keeps an EC2 Elastic IP on the live one of two instances.

pub mod check;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod credentials;
pub mod deadline;
pub mod ec2;
pub mod escape;
pub mod file;
pub mod http;
pub mod ids;
pub mod imds;
pub mod instance;
pub mod interfaces;
pub mod journal;
pub mod lsb;
pub mod ocf;
pub mod partition;
pub mod policy;
pub mod process;
pub mod retry;
pub mod run;
pub mod session;
pub mod takeover;
