//! Keeps an EC2 Elastic IP on the live one of two instances.

pub mod agent;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod config;
pub mod credentials;
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
pub mod marks;
pub mod memory;
pub mod ocf;
pub mod partition;
pub mod plan;
pub mod policy;
pub mod process;
pub mod retry;
