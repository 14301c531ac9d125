//! Page calls over QUIC, a stream each, and the process that keeps the pages.
//!
//! A call is a head of 24 bytes — what is wanted, file, offset, length — and for a write the bytes; the answer to a read is the bytes, and
//! to a write one byte.

use super::pool::{PAGE_BYTES, Pool};
use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weft_common::rpc::runtime;
use weft_common::transport::bare::BareListener;
use weft_common::transport::{Holder, Identity};

pub(super) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const HEAD_BYTES: usize = 24;

/// What is asked of a page process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    what: What,
    file: u64,
    offset: u64,
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Read,
    Write,
    Remove,
}

impl Call {
    fn encode(self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&self.file.to_le_bytes());
        head[8..16].copy_from_slice(&self.offset.to_le_bytes());
        head[16..20].copy_from_slice(&(self.length as u32).to_le_bytes());
        head[20] = self.what as u8;
        head
    }

    fn decode(head: [u8; HEAD_BYTES]) -> Self {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| head[at + byte]));
        let length = (number(16) & 0xffff_ffff) as usize;
        let what = match head[20] {
            0 => What::Read,
            1 => What::Write,
            _ => What::Remove,
        };
        Self { what, file: number(0), offset: number(8), length }
    }
}

/// Reads a stream behind its first `skip` bytes to its end into a pooled buffer, in whatever order the bytes come.
async fn receive(stream: &mut RecvStream, skip: usize, pool: &Pool) -> Outcome<Bytes> {
    let mut buffer = pool.take();
    while let Some(chunk) = stream.read_chunk(PAGE_BYTES, false).await? {
        let at = chunk.offset as usize - skip;
        let place = buffer.bytes.get_mut(at..at + chunk.bytes.len()).ok_or("more bytes than a page")?;
        place.copy_from_slice(&chunk.bytes);
        buffer.length = buffer.length.max(at + chunk.bytes.len());
    }
    Ok(buffer.freeze())
}

/// Sends bytes to a page process, and waits until they are written.
pub(super) async fn put(connection: &Connection, file: u64, offset: u64, bytes: Bytes) -> Outcome<()> {
    write_call(connection, Call { what: What::Write, file, offset, length: bytes.len() }, bytes).await
}

/// Removes a file.
pub(super) async fn remove(connection: &Connection, file: u64) -> Outcome<()> {
    write_call(connection, Call { what: What::Remove, file, offset: 0, length: 0 }, Bytes::new()).await
}

async fn write_call(connection: &Connection, call: Call, bytes: Bytes) -> Outcome<()> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&call.encode()).await?;
    send.write_chunk(bytes).await?;
    send.finish()?;
    let mut answer = [0];
    receive.read_exact(&mut answer).await?;
    Ok(())
}

/// Gets bytes from a page process, as many as the file has there.
pub(super) async fn get(connection: &Connection, file: u64, offset: u64, length: usize, pool: &Pool) -> Outcome<Bytes> {
    let (mut send, mut answer) = connection.open_bi().await?;
    send.write_all(&Call { what: What::Read, file, offset, length }.encode()).await?;
    send.finish()?;
    receive(&mut answer, 0, pool).await
}

/// The process that keeps pages in files.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServeArguments {
    #[arg(long)]
    identity: PathBuf,
    #[arg(long)]
    folder: PathBuf,
}

/// Says where it listens, and serves until its standard input ends.
pub(crate) fn serve_pages(arguments: &ServeArguments) -> Result<(), Box<dyn Error>> {
    super::end_with_parent(|| {});
    let identity = Identity::load(&arguments.identity, Holder::Server)?;
    let runtime = runtime("pages")?;
    runtime.block_on(async {
        let listener = BareListener::new(&identity, SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let mut output = io::stdout();
        writeln!(output, "{}", listener.address()?)?;
        output.flush()?;
        let folder: Arc<Path> = Arc::from(arguments.folder.as_path());
        while let Some(connection) = listener.accept().await {
            let connection = connection.map_err(|error| error as Box<dyn Error>)?;
            tokio::spawn(serve_connection(connection, Arc::clone(&folder)));
        }
        Ok(())
    })
}

async fn serve_connection(connection: Connection, folder: Arc<Path>) {
    let pool = Pool::default();
    while let Ok((send, receive)) = connection.accept_bi().await {
        let (folder, pool) = (Arc::clone(&folder), pool.clone());
        tokio::spawn(async move {
            if let Err(error) = serve_call(send, receive, &folder, &pool).await {
                eprintln!("a page call failed: {error}");
            }
        });
    }
}

async fn serve_call(mut send: SendStream, mut stream: RecvStream, folder: &Path, pool: &Pool) -> Outcome<()> {
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    let call = Call::decode(head);
    let path = folder.join(call.file.to_string());
    match call.what {
        What::Write => {
            let bytes = receive(&mut stream, HEAD_BYTES, pool).await?;
            let file = File::options().write(true).create(true).truncate(false).open(path)?;
            file.write_all_at(&bytes, call.offset)?;
            send.write_all(&[1]).await?;
        }
        What::Read => {
            let (file, mut buffer) = (File::open(path)?, pool.take());
            let wanted = call.length.min(PAGE_BYTES);
            while buffer.length < wanted {
                let from = call.offset + buffer.length as u64;
                match file.read_at(&mut buffer.bytes[buffer.length..wanted], from)? {
                    0 => break,
                    length => buffer.length += length,
                }
            }
            send.write_chunk(buffer.freeze()).await?;
        }
        What::Remove => {
            // Nothing may have been written to it.
            let _ = std::fs::remove_file(path);
            send.write_all(&[1]).await?;
        }
    }
    send.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_as_it_was_written() {
        for call in [
            Call { what: What::Write, file: 7, offset: 1 << 40, length: PAGE_BYTES },
            Call { what: What::Read, file: u64::MAX, offset: 3, length: 1 },
            Call { what: What::Remove, file: 0, offset: 0, length: 0 },
        ] {
            assert_eq!(Call::decode(call.encode()), call);
        }
    }
}
