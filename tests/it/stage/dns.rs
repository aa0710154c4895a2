//! A name server that can be at fault, for calls in a network of their own.

use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::Duration;

use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// How a name server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// There is no such name.
    NoSuchName,
    /// It has failed.
    Failure,
    /// It says nothing.
    Silence,
    /// Every name is the loopback's, and it says so 0.1 s late.
    Slow,
}

/// Serves names at this address, on the port that every resolver asks: that takes a network of its own.
pub fn serve(address: Ipv4Addr, lookup: Lookup) {
    let socket = UdpSocket::bind((address, 53)).unwrap();
    // Ends with the test's process.
    thread::spawn(move || {
        let mut datagram = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut datagram) {
            if lookup == Lookup::Silence {
                continue;
            }
            if lookup == Lookup::Slow {
                thread::sleep(Duration::from_millis(100));
            }
            let _ = socket.send_to(&answer(&datagram[..length], lookup), client);
        }
    });
}

fn answer(question: &[u8], lookup: Lookup) -> Vec<u8> {
    let question = Packet::parse(question).unwrap();
    let mut answer = Packet::new_reply(question.id());
    answer.set_flags(PacketFlag::RECURSION_AVAILABLE);
    answer.questions.clone_from(&question.questions);
    match lookup {
        Lookup::NoSuchName => *answer.rcode_mut() = RCODE::NameError,
        Lookup::Failure => *answer.rcode_mut() = RCODE::ServerFailure,
        _ => {}
    }
    for asked in &question.questions {
        if lookup == Lookup::Slow && asked.qtype == QTYPE::TYPE(TYPE::A) {
            let here = RData::A(A::from(Ipv4Addr::LOCALHOST));
            answer.answers.push(ResourceRecord::new(asked.qname.clone(), CLASS::IN, 0, here));
        }
    }
    answer.build_bytes_vec().unwrap()
}
