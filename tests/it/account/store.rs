//! What one node knows of an address, kept where no file is.

use std::cell::RefCell;

use elastic_ip::ids::Target;
use elastic_ip::message::Message;
use elastic_ip::takeover::state::State;
use elastic_ip::takeover::store::Store;

/// A node's store, for one address.
#[derive(Debug, Default)]
pub struct Memory(pub RefCell<State>);

impl Store for Memory {
    fn read(&self, _: &Target) -> Result<State, Message> {
        Ok(self.0.borrow().clone())
    }

    fn change(&self, _: &Target, change: &mut dyn FnMut(&mut State)) -> Result<(), Message> {
        change(&mut self.0.borrow_mut());
        Ok(())
    }
}
