//! Start of one address.

use std::convert::Infallible;
use std::future::{self, Future};

use super::{Cloud, FRESH, Observation, Operation, holder, known_allocation};
use crate::deadline::Deadline;
use crate::ec2::{Address, Error, Kind};
use crate::ids::{AssociationId, Name, Target};
use crate::message::Message;
use crate::retry::Retry;
use crate::takeover::state::State;
use crate::takeover::store::Store;
use crate::takeover::{Outcome, Permission, Takeover, TakeoverStep, shown};

impl<C: Cloud, S: Store> Operation<'_, C, S> {
    pub(super) async fn start(&self, target: &Target) -> Result<Outcome, Message> {
        let state = self.recall(target);
        let allocation = known_allocation(target, &state);
        let (destination, mut seen) = self.begin(target, &state).await?;
        let mut plan = Takeover::new(destination, self.rules.permission, allocation);
        let what = self.what(target);
        let taken = self.world.retry.run(&what, async || self.take(target, &state, &mut plan, &mut seen).await);
        taken.await.map_err(|error| self.explain(target, &error))?
    }

    /// One attempt. The inner error is final.
    async fn take(
        &self,
        target: &Target,
        state: &State,
        plan: &mut Takeover,
        seen: &mut Observation,
    ) -> Result<Result<Outcome, Message>, Error> {
        let mut refused = None;
        loop {
            match plan.next() {
                TakeoverStep::Describe => {
                    let address = self.describe(target, seen).await?;
                    let is_old = state.has_ended(shown(&address, plan.destination()).association.as_ref());
                    plan.described(address, is_old);
                }
                TakeoverStep::Associate(..) if self.is_stale(seen) => plan.invalidate(),
                TakeoverStep::Associate(_, to, from) if self.rules.dry_run => {
                    log::info!("{target}: would call AssociateAddress to move it{} to {to}", origin(from));
                    return Ok(Ok(Outcome::DryRun));
                }
                TakeoverStep::Associate(name, to, from) => {
                    let (to, from) = (to.clone(), from.cloned());
                    let change = format!("AssociateAddress of {target} to {to}");
                    let sent = self.now();
                    let may_take = self.rules.permission == Permission::Anybody;
                    let call = self.settle(target, &change, self.world.cloud.associate(&name, &to, may_take));
                    let (answer, displaced) = beside(call, self.world.cloud.public_address(&to)).await;
                    let error = match answer {
                        Ok(answer) => {
                            let id = answer.value;
                            let is_done = plan.associated(id.as_ref());
                            self.remember(target, |state, now| {
                                let before = from.as_ref().and_then(|address| address.association.as_ref()?.id.clone());
                                state.is_allocated(from.as_ref().and_then(|address| address.allocation.as_ref()));
                                state.associated(id.clone(), before, sent, now);
                            });
                            if !is_done {
                                return Err(Error::unconfirmed(&change));
                            }
                            let shown = id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
                            log::info!("{target}: moved{} to {to}{shown}{}", origin(from.as_ref()), self.trace(&answer.request));
                            let own = match &target.name {
                                Name::Address(public) => Some(*public),
                                Name::Allocation(_) => from.as_ref().map(|address| address.public),
                            };
                            if let (Some(displaced), Some(own)) = (displaced, own)
                                && displaced != own
                            {
                                log::info!("{target}: it took the place of {displaced}, which {} has no more", to.instance);
                            }
                            self.confirm(target, id.as_ref()).await;
                            return Ok(Ok(Outcome::Held));
                        }
                        Err(error) => match from.as_ref().and_then(|address| address.association.as_ref()) {
                            Some(held) => error.of_an_address_at(&held.owner),
                            None => error,
                        },
                    };
                    let is_other_way = plan.failed(&error);
                    if error.kind == Kind::Throttled {
                        let left = FRESH.saturating_sub(self.now().since(seen.at));
                        if !self.world.retry.soon(left, &self.what(target), &error).await {
                            return Err(error);
                        }
                    } else if is_other_way {
                        refused = Some(error);
                    } else {
                        return Err(error);
                    }
                }
                TakeoverStep::FindPrimary => self.find_primary(plan, refused.take()).await?,
                TakeoverStep::LostTo(owner) => {
                    return Ok(Err(Message::new(
                        format!("{owner} took it while this start was delayed, so it stays there"),
                        "start again to take it",
                    )));
                }
                TakeoverStep::LeaveTo(owner) => {
                    let owner = owner.map_or_else(|| "somebody".to_owned(), ToString::to_string);
                    return Ok(Err(if self.rules.permission == Permission::NobodyAsked {
                        Message::from(format!("{owner} has it, so it stays there"))
                    } else {
                        Message::new(format!("{owner} has it, and ALLOW_REASSOCIATION=no forbids taking it"), "release it there first")
                    }));
                }
                TakeoverStep::End => {
                    log::info!("{target}: moved to {}{}", plan.destination(), self.trace(""));
                    return Ok(Ok(Outcome::Held));
                }
            }
        }
    }

    /// Names the primary interface, where EC2 has refused the instance because it has several; else it was refused for another reason.
    async fn find_primary(&self, plan: &mut Takeover, refused: Option<Error>) -> Result<(), Error> {
        let refused = refused.unwrap_or_else(|| Error::new(Kind::NotYet(String::new()), "EC2 refuses this instance"));
        let primary = self.world.cloud.primary().await;
        plan.found_primary(primary.as_ref().ok().cloned().flatten());
        match primary {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(refused),
            Err(error) => Err(Error::new(refused.kind.clone(), format!("{refused}, and {error}"))),
        }
    }

    /// Waits until a describe shows the association that EC2 has acknowledged, for a caller that looks at once.
    async fn confirm(&self, target: &Target, acknowledged: Option<&AssociationId>) {
        let (Some(limit), Some(id)) = (self.rules.confirm_for, acknowledged) else { return };
        let limit = limit.min(self.world.retry.deadline().left());
        let retry = Retry::until(Deadline::after(limit));
        let what = format!("{} of {target}, done", self.act);
        let confirmed = tokio::time::timeout(
            limit,
            retry.run(&what, async || {
                let address = self.world.cloud.describe(std::slice::from_ref(target)).await.pop().and_then(Result::ok);
                let held = address.and_then(|address| address.association?.id);
                if held.as_ref() == Some(id) { Ok(()) } else { Err(Error::unconfirmed(&id.to_string())) }
            }),
        );
        if !matches!(confirmed.await, Ok(Ok(()))) {
            log::warn!("{target}: {id} is acknowledged, but EC2 does not show it after {} s", limit.as_secs_f64());
        }
    }
}

/// Both results, but the second one only if it comes before the first.
async fn beside<A, B>(first: impl Future<Output = A>, second: impl Future<Output = Option<B>>) -> (A, Option<B>) {
    let mut early = None;
    let second = async {
        early = second.await;
        future::pending::<Infallible>().await
    };
    let result = tokio::select! {
        result = first => result,
        never = second => match never {},
    };
    (result, early)
}

fn origin(from: Option<&Address>) -> String {
    from.map_or_else(String::new, |address| format!(" from {}", holder(address)))
}
