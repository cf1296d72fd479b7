//! A proxy that breaks connections, between a store and its server.
//!
//! Faults are for all connections, or for the next request of a method. Without one, all is passed through. Nothing is timed:
//! what is to be silent is silent until the proxy ends.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What a connection suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Every connection is closed before anything is passed on.
    Refuse,
    /// What is asked is done; the answer is dropped and the connection ends.
    DropAnswer,
    /// The answer ends after so many bytes.
    CutAnswer(usize),
    /// The answer stops after so many bytes, and the connection stays.
    StallAnswer(usize),
    /// Nothing is passed on, nothing is answered, the connection stays.
    BlackHole,
    /// The question ends after so many bytes, and the connection ends.
    CutQuestion(usize),
    /// A small question is not passed on; this is answered, as a status with a body.
    Say(&'static str, &'static str),
    /// The question is passed on at so many bytes a second.
    Throttle(usize),
}

#[derive(Debug, Default)]
struct Plan {
    /// For all connections.
    always: Option<Fault>,
    /// For the next request that begins so.
    on: Option<(String, Fault)>,
    /// For the next request with this in its head.
    on_text: Option<(String, Fault)>,
    /// For each request whose first line has this in it.
    each: Option<(String, Fault)>,
    /// For each request that begins so, the first time it is asked in these words.
    first: Option<(String, Fault)>,
    /// How often each request line was asked.
    asked: BTreeMap<String, usize>,
}

impl Plan {
    /// What a piece of a question suffers. Questions are no longer than a piece where this is asked for their beginnings.
    fn fault(&mut self, piece: &[u8]) -> Option<(String, Fault)> {
        let line = String::from_utf8_lossy(piece.split(|byte| *byte == b'\r').next().unwrap_or_default())
            .into_owned();
        if !line.ends_with(" HTTP/1.1") {
            return None;
        }
        let asked = self.asked.entry(line.clone()).or_default();
        *asked += 1;
        let repeated = *asked > 1;
        if self.on.as_ref().is_some_and(|(begins, _)| line.starts_with(begins)) {
            return self.on.take();
        }
        let has = |text: &str| piece.windows(text.len()).any(|part| part == text.as_bytes());
        if self.on_text.as_ref().is_some_and(|(text, _)| has(text)) {
            return self.on_text.take();
        }
        let each = self.each.as_ref().filter(|(with, _)| line.contains(with));
        let first = self.first.as_ref().filter(|(begins, _)| !repeated && line.starts_with(begins));
        each.or(first).cloned()
    }
}

#[derive(Debug, Default)]
struct Shared {
    plan: Mutex<Plan>,
    connections: AtomicUsize,
    /// Bytes of questions that were passed on.
    asked_bytes: AtomicU64,
    ended: AtomicBool,
    end: (Mutex<bool>, Condvar),
    open: Mutex<Vec<TcpStream>>,
}

/// The proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of a port of this machine.
    pub(crate) fn before(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for client in listener.incoming() {
                    let Ok(client) = client else { continue };
                    if shared.ended.load(Ordering::SeqCst) {
                        return;
                    }
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    let fault = shared.plan.lock().unwrap().always;
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || pass(&shared, client, server, fault));
                }
            }
        });
        Proxy { port, shared }
    }

    /// The next request of a method suffers this, on whatever connection it comes.
    pub(crate) fn on(&self, method: &str, fault: Fault) {
        self.shared.plan.lock().unwrap().on = Some((format!("{method} "), fault));
    }

    /// The next request that has this in its head suffers this.
    pub(crate) fn on_text(&self, text: &str, fault: Fault) {
        self.shared.plan.lock().unwrap().on_text = Some((text.to_owned(), fault));
    }

    /// Each request with this in its first line suffers this.
    pub(crate) fn each(&self, with: &str, fault: Fault) {
        self.shared.plan.lock().unwrap().each = Some((with.to_owned(), fault));
    }

    /// Each request that begins so suffers this the first time; when it is repeated, it does not.
    pub(crate) fn first(&self, beginning: &str, fault: Fault) {
        self.shared.plan.lock().unwrap().first = Some((beginning.to_owned(), fault));
    }

    /// How often each request line of a method was asked.
    pub(crate) fn asked(&self, method: &str) -> BTreeMap<String, usize> {
        let plan = self.shared.plan.lock().unwrap();
        let begins = format!("{method} ");
        plan.asked
            .iter()
            .filter(|(line, _)| line.starts_with(&begins))
            .map(|(line, n)| (line.clone(), *n))
            .collect()
    }

    /// All connections suffer this; those that stand are cut, so that nothing goes on over an old one.
    pub(crate) fn always(&self, fault: Option<Fault>) {
        let mut plan = self.shared.plan.lock().unwrap();
        (plan.on, plan.each, plan.first) = (None, None, None);
        plan.always = fault;
        drop(plan);
        self.cut();
    }

    /// Ends the connections that stand.
    fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many bytes of questions were passed on.
    pub(crate) fn asked_bytes(&self) -> u64 {
        self.shared.asked_bytes.load(Ordering::SeqCst)
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        *self.shared.end.0.lock().unwrap() = true;
        self.shared.end.1.notify_all();
        self.cut();
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn wait_for_the_end(shared: &Shared) {
    let mut ended = shared.end.0.lock().unwrap();
    while !*ended {
        ended = shared.end.1.wait(ended).unwrap();
    }
}

fn pass(shared: &Shared, mut client: TcpStream, server: u16, fault: Option<Fault>) {
    if fault == Some(Fault::Refuse) {
        return;
    }
    shared.open.lock().unwrap().push(client.try_clone().unwrap());
    if fault == Some(Fault::BlackHole) {
        return wait_for_the_end(shared);
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    shared.open.lock().unwrap().push(server.try_clone().unwrap());
    let passing = &AtomicUsize::new(usize::MAX);
    std::thread::scope(|scope| {
        let (mut asks, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        scope.spawn(move || {
            let _ = match fault {
                Some(Fault::CutQuestion(bytes)) => {
                    let _ = std::io::copy(&mut (&mut asks).take(bytes as u64), &mut to_server);
                    let _ = to_server.shutdown(Shutdown::Both);
                    asks.shutdown(Shutdown::Both)
                }
                Some(Fault::Throttle(bytes)) => slowly(shared, &mut asks, &mut to_server, bytes),
                _ => ask(shared, &mut asks, &mut to_server, passing),
            };
            let _ = to_server.shutdown(Shutdown::Write);
        });
        match fault {
            Some(Fault::DropAnswer) => {
                // The first byte of the answer says that the work is done.
                let _ = server.read(&mut [0]);
            }
            Some(Fault::CutAnswer(bytes)) => {
                let _ = std::io::copy(&mut (&mut server).take(bytes as u64), &mut client);
            }
            Some(Fault::StallAnswer(bytes)) => {
                let _ = std::io::copy(&mut (&mut server).take(bytes as u64), &mut client);
                wait_for_the_end(shared);
            }
            _ => {
                let _ = answer(&mut server, &mut client, passing);
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
}

/// Passes requests on, and looks at the beginning of each for one that is to suffer.
fn ask(
    shared: &Shared,
    from: &mut TcpStream,
    to: &mut TcpStream,
    passing: &AtomicUsize,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let fault = {
            let mut plan = shared.plan.lock().unwrap();
            plan.fault(&buffer[..read])
        };
        match fault {
            Some((_, Fault::DropAnswer)) => passing.store(0, Ordering::SeqCst),
            Some((_, Fault::CutAnswer(bytes))) => passing.store(bytes, Ordering::SeqCst),
            Some((_, Fault::CutQuestion(bytes))) => {
                to.write_all(&buffer[..read.min(bytes)])?;
                let left = (bytes as u64).saturating_sub(read as u64);
                std::io::copy(&mut (&mut *from).take(left), to)?;
                to.shutdown(Shutdown::Both)?;
                return from.shutdown(Shutdown::Both);
            }
            Some((_, Fault::Say(status, body))) => {
                let length = body.len();
                write!(
                    from,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )?;
                from.shutdown(Shutdown::Write)?;
                // What is still to come of the question is taken, or the answer is lost with the connection.
                std::io::copy(from, &mut std::io::sink())?;
                return to.shutdown(Shutdown::Both);
            }
            Some((_, fault)) => panic!("{fault:?} is for whole connections"),
            None => {}
        }
        to.write_all(&buffer[..read])?;
        shared.asked_bytes.fetch_add(read as u64, Ordering::SeqCst);
    }
}

/// Passes answers on, until one is to end after so many bytes: its first byte says that the work is done.
fn answer(from: &mut TcpStream, to: &mut TcpStream, passing: &AtomicUsize) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        match passing.load(Ordering::SeqCst) {
            usize::MAX if read > 0 => to.write_all(&buffer[..read])?,
            usize::MAX => return Ok(()),
            left => {
                to.write_all(&buffer[..read.min(left)])?;
                if read == 0 || read >= left {
                    return Ok(());
                }
                passing.store(left - read, Ordering::SeqCst);
            }
        }
    }
}

fn slowly(
    shared: &Shared,
    from: &mut TcpStream,
    to: &mut TcpStream,
    bytes_per_s: usize,
) -> std::io::Result<()> {
    const PIECE_BYTES: usize = 64 * 1024;
    let pause = Duration::from_micros(1_000_000 * PIECE_BYTES as u64 / bytes_per_s as u64);
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let mut read = 0;
        // Whole pieces, but for the last: headers come alone and are passed on at once.
        while read < PIECE_BYTES {
            match from.read(&mut buffer[read..])? {
                0 => return Ok(()),
                more => read += more,
            }
            if read < 4096 {
                break;
            }
            from.set_nonblocking(true)?;
            let waiting = from.peek(&mut [0]).is_ok();
            from.set_nonblocking(false)?;
            if !waiting {
                break;
            }
        }
        to.write_all(&buffer[..read])?;
        shared.asked_bytes.fetch_add(read as u64, Ordering::SeqCst);
        let ended = shared.end.0.lock().unwrap();
        drop(shared.end.1.wait_timeout(ended, pause).unwrap());
    }
}
