//! EC2 as the processes meet it: late, refusing, or not to be heard.

use std::rc::Rc;

use elastic_ip::ec2::{Address, Error, Kind, Response, Tie};
use elastic_ip::ids::{AssociationId, Destination, InterfaceId, Name, Target};
use elastic_ip::instance::Error as InstanceError;
use elastic_ip::takeover::operation::Cloud;

use super::event::Fate;
use super::properties;
use super::world::{IP, Look, Shared, World, instance};
use crate::account::{Refusal, Version};

impl World {
    /// EC2's part of a call: what it does, and what it answers.
    fn serve<T>(&mut self, fate: Fate, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        match fate {
            Fate::Done | Fate::Late(_) => work(self),
            Fate::AnswerLost => {
                let _ = work(self);
                Err(Error::new(Kind::Ambiguous, "no answer"))
            }
            Fate::RequestLost => Err(Error::new(Kind::Ambiguous, "no answer")),
            Fate::Unsent => Err(Error::new(Kind::Unsent, "no connection")),
            Fate::Throttled => Err(Error::new(Kind::Throttled, "slow down")),
            Fate::NotYet => Err(Error::new(Kind::NotYet("UnauthorizedOperation".to_owned()), "no permission yet")),
            Fate::Refused => Err(Error::new(Kind::Refused("InvalidParameterValue".to_owned()), "no")),
        }
    }

    fn describe(&mut self, number: usize, fate: Fate) -> Result<Address, Error> {
        let version = self.shown(if let Fate::Late(changes) = fate { changes } else { 0 });
        let look = Look { at: self.now(), shown: version };
        let address = self.address(version);
        let is_old = {
            let association = address.association.as_ref().and_then(|held| held.id.as_ref());
            self.nodes[self.processes[number].node].store.0.borrow().has_ended(association)
        };
        let result = self.serve(fate, |_| Ok(address));
        if result.is_ok() {
            let process = &mut self.processes[number];
            process.last = Some(look);
            if !is_old {
                process.first.get_or_insert(look);
            }
        }
        result
    }

    fn associate(&mut self, number: usize, may_take: bool, fate: Fate) -> Result<Option<AssociationId>, Error> {
        self.changes_sent += usize::from(number >= self.from);
        properties::before_an_associate(self, number);
        let (now, node, before) = (self.now(), self.processes[number].node, self.owner());
        let owner = instance(node).to_string();
        let result = self.serve(fate, |world| Ok(world.account.associate(now, IP, &owner, None, may_take)));
        properties::after_an_associate(self, number, before);
        let id = result?.map_err(refused)?;
        let is_it = |version: &Version| version.held.as_ref().is_some_and(|held| held.association == id);
        self.processes[number].acknowledged = self.account.history(IP).iter().position(is_it);
        // Which association the node holds, its caller is told at the end.
        self.nodes[node].held = None;
        Ok(Some(id.parse().unwrap()))
    }

    fn disassociate(&mut self, number: usize, tie: &Tie, fate: Fate) -> Result<(), Error> {
        self.changes_sent += usize::from(number >= self.from);
        let (before, node, now) = (self.owner(), self.processes[number].node, self.now());
        let Tie::Association(id) = tie else { panic!("each association has an id") };
        let result = self.serve(fate, |world| Ok(world.account.disassociate(now, &id.to_string())));
        properties::after_a_disassociate(self, node, before);
        result?.map_err(refused)
    }
}

fn refused(refusal: Refusal) -> Error {
    Error::new(Kind::Refused(refusal.code().to_owned()), refusal.code())
}

/// EC2 as one process meets it.
pub struct Ec2 {
    pub world: Shared,
    pub process: usize,
}

impl Ec2 {
    /// Makes a call, and learns what came of it when the history says so.
    async fn call<T>(&self, serve: impl FnOnce(&mut World, usize, Fate) -> Result<T, Error>) -> Result<T, Error> {
        let (result, learns) = {
            let mut world = self.world.borrow_mut();
            let is_cut_off = self.process < world.from;
            let fate = if is_cut_off { None } else { world.processes[self.process].fate.take() };
            let fate = fate.unwrap_or(if is_cut_off { Fate::RequestLost } else { Fate::Done });
            let result = serve(&mut world, self.process, fate);
            let process = &mut world.processes[self.process];
            process.is_waiting = true;
            (result, Rc::clone(&process.learns))
        };
        learns.notified().await;
        self.world.borrow_mut().processes[self.process].is_waiting = false;
        result
    }
}

impl Cloud for Ec2 {
    async fn destination(&self, _: &Target) -> Result<Destination, InstanceError> {
        let node = self.world.borrow().processes[self.process].node;
        Ok(Destination { instance: instance(node), interface: None, private: None })
    }

    async fn primary(&self) -> Result<Option<InterfaceId>, InstanceError> {
        Ok(None)
    }

    async fn describe(&self, _: &[Target]) -> Vec<Result<Address, Error>> {
        vec![self.call(World::describe).await]
    }

    async fn associate(&self, _: &Name, _: &Destination, may_take: bool) -> Result<Response<Option<AssociationId>>, Error> {
        let value = self.call(|world, process, fate| world.associate(process, may_take, fate)).await?;
        Ok(Response { value, request: String::new() })
    }

    async fn disassociate(&self, tie: &Tie) -> Result<Response<()>, Error> {
        self.call(|world, process, fate| world.disassociate(process, tie, fate)).await?;
        Ok(Response { value: (), request: String::new() })
    }
}
