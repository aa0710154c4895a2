//! EC2's `DryRun`: whether these keys may make a call, asked without making it.

use rusoto_ec2::{AssociateAddressRequest, DescribeAddressesRequest, DisassociateAddressRequest, Ec2 as _};

use super::{Ec2, Error, Kind, Response, Tie, associate_request, describe_request, disassociate_request};
use crate::ids::{Destination, Name, Target};

impl Ec2 {
    /// Whether an address may be asked for. Where this is not refused with EC2's word for it, the service does not know `DryRun`,
    /// and the other rehearsals would be the calls themselves.
    pub async fn may_describe(&self, target: &Target) -> Result<(), Error> {
        let request = DescribeAddressesRequest { dry_run: Some(true), ..describe_request(&[target]) };
        judge(self.call("DescribeAddresses", async |ec2| ec2.describe_addresses(request.clone()).await).await)
    }

    /// Whether an address may be put there.
    pub async fn may_associate(&self, name: &Name, destination: &Destination, reassociate: bool) -> Result<(), Error> {
        let request = AssociateAddressRequest { dry_run: Some(true), ..associate_request(name, destination, reassociate) };
        judge(self.call("AssociateAddress", async |ec2| ec2.associate_address(request.clone()).await).await)
    }

    /// Whether an association may be ended.
    pub async fn may_disassociate(&self, tie: &Tie) -> Result<(), Error> {
        let request = DisassociateAddressRequest { dry_run: Some(true), ..disassociate_request(tie) };
        judge(self.call("DisassociateAddress", async |ec2| ec2.disassociate_address(request.clone()).await).await)
    }
}

/// EC2 refuses what it would otherwise do
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateAddress.html>).
fn judge<T>(answer: Result<Response<T>, Error>) -> Result<(), Error> {
    match answer {
        Err(error) if error.is_refusal("DryRunOperation") => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::new(Kind::Ambiguous, "this service does not heed DryRun, so permissions cannot be tried without use")),
    }
}
