//! Stop of one address.

use super::{Cloud, Observation, Operation, Rules, holder};
use crate::clock::Moment;
use crate::ec2::{Error, Kind, Tie};
use crate::ids::Target;
use crate::message::Message;
use crate::takeover::Outcome;
use crate::takeover::release::{Release, ReleaseStep};
use crate::takeover::store::Store;

impl<C: Cloud, S: Store> Operation<'_, C, S> {
    pub(super) async fn stop(&self, target: &Target) -> Result<Outcome, Message> {
        let state = self.recall(target);
        let (destination, mut seen) = self.begin(target, &state).await?;
        let mut plan = Release::new(destination, !self.rules.release_on_stop, state);
        let what = self.what(target);
        let released = self.world.retry.run(&what, async || self.let_go(target, &mut plan, &mut seen).await);
        released.await.map_err(|error| self.explain(target, &error))
    }

    /// One attempt.
    async fn let_go(&self, target: &Target, plan: &mut Release, seen: &mut Observation) -> Result<Outcome, Error> {
        let me = &plan.me().clone();
        loop {
            match plan.next().clone() {
                ReleaseStep::Describe => {
                    let address = self.describe(target, seen).await?;
                    let _ = self.judge(target, &address, plan.destination(), seen.asked);
                    if !plan.described(&address, seen.asked, self.now()) {
                        return Err(Error::new(Kind::Ambiguous, format!("EC2 shows {} and does not know it yet", holder(&address))));
                    }
                }
                ReleaseStep::Disassociate(_) if self.rules.dry_run => {
                    log::info!("{target}: would call DisassociateAddress to release it from {me}");
                    return Ok(Outcome::DryRun);
                }
                ReleaseStep::Disassociate(tie) => {
                    let change = format!("DisassociateAddress of {target} from {me}");
                    let before = self.world.store.read(target).unwrap_or_default().held().cloned();
                    match self.settle(target, &change, self.world.cloud.disassociate(&tie)).await {
                        Ok(answer) => {
                            plan.disassociated();
                            let id = match tie {
                                Tie::Association(id) => Some(id),
                                Tie::Address(_) => None,
                            };
                            let shown = id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
                            let missing = plan.missing().cloned();
                            self.remember(target, |state, now| {
                                if let Some(missing) = &missing {
                                    state.lost(missing.clone());
                                }
                                state.released(id.clone(), before.clone(), now);
                            });
                            log::info!("{target}: released from {me}{shown}{}", self.trace(&answer.request));
                            return Ok(Outcome::Released);
                        }
                        Err(error) if !plan.failed(&error) => return Err(error),
                        Err(_) => log::info!("{target}: {me} lost it meanwhile"),
                    }
                }
                ReleaseStep::HandOver if self.rules.dry_run => {
                    log::info!("{target}: would leave it with {me} until a peer takes it");
                    return Ok(Outcome::DryRun);
                }
                ReleaseStep::HandOver => match self.world.store.change(target, &mut |state| state.handed_over(self.now())) {
                    Ok(()) => {
                        log::info!("{target}: stays with {me} until a peer takes it (RELEASE_ON_STOP=no)");
                        return Ok(Outcome::HandedOver);
                    }
                    Err(error) => {
                        log::warn!("{target}: the handover cannot be remembered: {error}; releasing it instead");
                        plan.cannot_hand_over();
                    }
                },
                ReleaseStep::End(outcome) => {
                    let missing = plan.missing().cloned();
                    self.remember(target, |state, _| {
                        if let Some(id) = &missing {
                            state.lost(id.clone());
                        }
                        state.stopped();
                    });
                    log::info!("{target}: {me} does not have it; nothing to release");
                    return Ok(outcome);
                }
            }
        }
    }
}

/// What a stop comes to that failed for this reason, however early. One that is to leave the address for a peer is done: this node claims
/// it no more, and failing it would help nobody (Heartbeat would hold the peer up with ten more tries, and Pacemaker would fence this
/// node). Any other is remembered as failed.
pub fn end_failed_stop(store: &impl Store, target: &Target, rules: Rules, why: Message, now: Moment) -> Result<Outcome, Message> {
    if !rules.dry_run && !rules.release_on_stop {
        match store.change(target, &mut |state| state.handed_over(now)) {
            Ok(()) => {
                log::warn!("{target}: {why}; stays where it is until a peer takes it (RELEASE_ON_STOP=no)");
                return Ok(Outcome::HandedOver);
            }
            Err(error) => return Err(Message { what: format!("{}; and the handover cannot be remembered: {error}", why.what), ..why }),
        }
    }
    if !rules.dry_run
        && let Err(error) = store.change(target, &mut |state| state.stop_failed(now))
    {
        log::warn!("{target}: the failed stop cannot be remembered: {error}; status may still call it running");
    }
    Err(why)
}
