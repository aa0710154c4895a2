//! A wire between the program and a server, for the faults below HTTP.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Linger;

/// What the wire does to one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Resets the connection when the request comes; the server does not see it.
    Reset,
    /// Says nothing; the server does not see the request.
    Silence,
    /// The server does the call, and its answer is lost.
    LoseAnswer,
    /// The server does the call, and its answer never comes; the connection stays.
    HoldAnswer,
    /// Half of the answer comes, then the connection ends.
    Half,
    /// The answer comes one byte a second.
    Dribble,
    /// The answer goes on for 100 MB.
    Flood,
    /// The answer's headers go on for 100 MB.
    FloodOfHeaders,
    /// The answer comes a little late.
    Delay,
    /// The answer comes after whatever else is answered at once, on a busy machine as well.
    LongDelay,
    /// What comes is not HTTP.
    Garbage,
    /// The answer calls itself an image.
    OtherType,
    /// The answer has headers beyond ASCII, a date among them.
    OddHeaders,
}

const FLOOD: usize = 100_000_000;
const DELAY: Duration = Duration::from_millis(100);
const LONG_DELAY: Duration = Duration::from_secs(1);

/// A listener that carries each request on to the server.
pub struct Wire {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Wire {
    /// A wire to the server at this URL. `fault` is asked for each request with its text.
    pub fn to(url: &str, fault: impl Fn(&str) -> Fault + Send + Sync + 'static) -> Self {
        Self::with_a_say(url, fault, |_| {})
    }

    /// A wire that also has `answered` called with the text of each request that the server has answered, before anybody else
    /// learns of it.
    pub fn with_a_say(
        url: &str,
        fault: impl Fn(&str) -> Fault + Send + Sync + 'static,
        answered: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let server = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self { address: listener.local_addr().unwrap(), connections: Arc::default(), requests: Arc::default() };
        let (connections, requests) = (Arc::clone(&wire.connections), Arc::clone(&wire.requests));
        let says = Arc::new((fault, answered));
        // Ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let (says, requests, server) = (Arc::clone(&says), Arc::clone(&requests), server.clone());
                thread::spawn(move || carry(client, &server, &requests, &says.0, &says.1));
            }
        });
        wire
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn carry(
    mut client: TcpStream,
    server: &str,
    requests: &AtomicUsize,
    fault: &impl Fn(&str) -> Fault,
    answered: &impl Fn(&str),
) -> io::Result<()> {
    let mut server = TcpStream::connect(server)?;
    loop {
        let request = read_message(&mut client)?;
        requests.fetch_add(1, Ordering::SeqCst);
        let text = String::from_utf8_lossy(&request);
        let fault = fault(&text);
        match fault {
            Fault::Reset => return reset(&client),
            Fault::Silence => return wait_for_the_end(&mut client),
            _ => {}
        }
        server.write_all(&request)?;
        let answer = read_message(&mut server)?;
        answered(&text);
        match fault {
            Fault::LoseAnswer => return Ok(()),
            Fault::HoldAnswer => return wait_for_the_end(&mut client),
            Fault::Half => return client.write_all(&answer[..answer.len() / 2]),
            Fault::Dribble => {
                for byte in answer {
                    client.write_all(&[byte])?;
                    thread::sleep(Duration::from_secs(1));
                }
            }
            Fault::Flood => {
                write!(client, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {FLOOD}\r\n\r\n")?;
                io::copy(&mut io::repeat(b' ').take(FLOOD as u64), &mut client)?;
            }
            Fault::FloodOfHeaders => {
                client.write_all(b"HTTP/1.1 200 OK\r\n")?;
                let header = b"X-Header: running OK\r\n".repeat(1000);
                for _ in 0..FLOOD / header.len() {
                    client.write_all(&header)?;
                }
            }
            Fault::Delay | Fault::LongDelay => {
                thread::sleep(if fault == Fault::Delay { DELAY } else { LONG_DELAY });
                client.write_all(&answer)?;
            }
            Fault::OtherType => client.write_all(&with_headers(&answer, b"content-type: image/png\r\n"))?,
            Fault::OddHeaders => client.write_all(&with_headers(&answer, b"date: g\xe9stern\r\nx-odd: \xff running OK\r\n"))?,
            Fault::Garbage => client.write_all(b"running OK\x00\xff\r\n\r\n")?,
            _ => client.write_all(&answer)?,
        }
    }
}

/// The message with these headers in place of its own of their names.
fn with_headers(message: &[u8], headers: &[u8]) -> Vec<u8> {
    let head = message.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 2;
    let mut lines = message[..head].split_inclusive(|byte| *byte == b'\n');
    let name = |line: &[u8]| line.split(|byte| *byte == b':').next().unwrap_or_default().to_ascii_lowercase();
    let replaced: Vec<_> = headers.split_inclusive(|byte| *byte == b'\n').map(name).collect();
    let mut answer = lines.next().unwrap_or_default().to_vec();
    answer.extend_from_slice(headers);
    for line in lines.filter(|line| !replaced.contains(&name(line))) {
        answer.extend_from_slice(line);
    }
    answer.extend_from_slice(&message[head..]);
    answer
}

/// A connection that may not linger is ended by a reset instead of a farewell.
fn reset(client: &TcpStream) -> io::Result<()> {
    Ok(setsockopt(client, Linger, &linger { l_onoff: 1, l_linger: 0 })?)
}

pub fn wait_for_the_end(client: &mut TcpStream) -> io::Result<()> {
    io::copy(client, &mut io::sink()).map(drop)
}

/// Reads one HTTP message whose body has a `Content-Length`.
pub fn read_message(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(head) = message.windows(4).position(|window| window == b"\r\n\r\n") {
            let headers = String::from_utf8_lossy(&message[..head]).to_ascii_lowercase();
            let length = headers.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
            if message.len() >= head + 4 + length {
                return Ok(message);
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => message.extend_from_slice(&chunk[..count]),
        }
    }
}
