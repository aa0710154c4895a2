//! An HTTP server on loopback whose every answer is given to it beforehand, and the program's clients that ask it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use elastic_ip::config::{Config, Metadata};
use elastic_ip::credentials::Keys;
use elastic_ip::deadline::Deadline;
use elastic_ip::ec2::{Ec2, Limits};
use elastic_ip::endpoint::Endpoint;
use elastic_ip::imds::Imds;
use rusoto_core::credential::AwsCredentials;
use tokio::runtime::{Builder, Runtime};

use super::configuration::sources;

/// What is answered to a path, in turn; the last one is kept.
type Answers = Arc<Mutex<HashMap<String, Vec<(u16, Vec<u8>)>>>>;

/// A server of this thread's own.
pub struct Server {
    url: String,
    answers: Answers,
    runtime: Runtime,
    ec2: Ec2,
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// Lends this thread's server.
pub fn with_server<T>(work: impl FnOnce(&Server) -> T) -> T {
    SERVER.with_borrow_mut(|server| work(server.get_or_insert_with(Server::start)))
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = Answers::default();
        let served = Arc::clone(&answers);
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let answers = Arc::clone(&served);
                thread::spawn(move || serve(client, &answers));
            }
        });
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let set = url.clone();
        let environment = move |name: &str| (name == "AWS_ENDPOINT_URL_EC2").then(|| set.clone());
        let config = Config::load(&sources(Path::new("/nonexistent")), &environment).unwrap();
        let endpoint = Endpoint::new(&"eu-west-1".parse().unwrap(), &config).unwrap();
        let keys = Rc::new(Keys::fixed(AwsCredentials::new("AKID", "secret", None, None)));
        let minute = Duration::from_secs(60);
        let limits = Limits { connect: minute, attempt: minute, deadline: Deadline::after(Duration::from_secs(86_400)) };
        let ec2 = Ec2::new(&endpoint, keys, limits).unwrap();
        Self { url, answers, runtime, ec2 }
    }

    /// Asks EC2, which answers this.
    pub fn ask<T>(&self, status: u16, body: &[u8], question: impl AsyncFnOnce(&Ec2) -> T) -> T {
        *self.answers.lock().unwrap() = HashMap::from([("/".to_owned(), vec![(status, body.to_vec())])]);
        self.runtime.block_on(question(&self.ec2))
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Has STS answer this, and no metadata service.
    pub fn ask_sts<T>(&self, status: u16, body: &[u8], question: impl AsyncFnOnce(Rc<Imds>) -> T) -> T {
        self.answer(HashMap::from([("/".to_owned(), vec![(status, body.to_vec())])]), question)
    }

    /// Asks the metadata service, which answers this below `/latest/meta-data/`. An answer that the program takes for a passing
    /// fault is followed by a refusal, which ends its tries.
    pub fn ask_metadata<T>(&self, told: &[(&str, &[u8])], question: impl AsyncFnOnce(Rc<Imds>) -> T) -> T {
        let mut answers = HashMap::from([("/latest/api/token".to_owned(), vec![(200, b"token".to_vec())])]);
        for (path, body) in told {
            answers.insert(format!("/latest/meta-data/{path}"), vec![(200, body.to_vec()), (403, Vec::new())]);
        }
        self.answer(answers, question)
    }

    fn answer<T>(&self, answers: HashMap<String, Vec<(u16, Vec<u8>)>>, question: impl AsyncFnOnce(Rc<Imds>) -> T) -> T {
        *self.answers.lock().unwrap() = answers;
        self.runtime.block_on(async {
            let service = Metadata { url: self.url.parse().unwrap(), is_disabled: false, timeout: None };
            let imds = Imds::new(&service, Deadline::after(Duration::from_secs(60))).unwrap();
            question(Rc::new(imds)).await
        })
    }
}

/// Answers one connection's requests until it ends.
fn serve(client: TcpStream, answers: &Answers) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let mut writer = client.try_clone().ok()?;
    let mut reader = BufReader::new(client);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line).ok()?;
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        let (status, body) = {
            let mut answers = answers.lock().ok()?;
            match answers.get_mut(&path) {
                Some(left) if left.len() > 1 => left.remove(0),
                Some(left) => left[0].clone(),
                None => (404, Vec::new()),
            }
        };
        let mut answer = format!("HTTP/1.1 {status} So\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(&body);
        writer.write_all(&answer).ok()?;
    }
}
