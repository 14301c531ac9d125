//! What the wire gives to plain TCP: one sender, one receiver, nothing else.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use weft_mount_tests::network::{Place, Site};

/// Where the receiver listens; only our processes are in its namespace.
const PORT: u16 = 9300;
/// Bytes that are sent and received with one call.
const PIECE: usize = 256 << 10;
/// Nobody waits longer for a byte of the other side.
const PATIENCE: Duration = Duration::from_secs(20);

/// MB/s from `from` to `to`, measured over so long.
pub(crate) fn tcp_mb_per_second(from: &Site, to: &Place, lasts: Duration) -> io::Result<f64> {
    let address = format!("{}:{PORT}", to.address);
    // The listener belongs to the namespace that it was made in, wherever it is used.
    let (site, bound) = (to.site.clone(), address.clone());
    let listener = join(thread::spawn(move || {
        site.enter()?;
        TcpListener::bind(bound)
    }))?;
    let site = from.clone();
    let sender = thread::spawn(move || {
        site.enter()?;
        send(&mut TcpStream::connect(address)?, lasts)
    });
    let rate = receive(&listener.accept()?.0);
    join(sender)?;
    rate
}

fn join<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn send(stream: &mut TcpStream, lasts: Duration) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let (piece, until) = (vec![0x5a; PIECE], Instant::now() + lasts);
    while Instant::now() < until {
        stream.write_all(&piece)?;
    }
    Ok(())
}

/// From the first bytes to the end. What leaves in one burst at the beginning is not counted: later it has to wait for its turn.
fn receive(mut stream: &TcpStream) -> io::Result<f64> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = vec![0; PIECE];
    let (mut bytes, mut began) = (0, None);
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            length if began.is_some() => bytes += length,
            _ => began = Some(Instant::now()),
        }
    }
    let seconds = began.ok_or(io::ErrorKind::UnexpectedEof)?.elapsed().as_secs_f64();
    Ok(bytes as f64 / 1e6 / seconds)
}
