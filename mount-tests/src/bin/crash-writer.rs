//! A writer that kills itself (SIGKILL) at one of the calls it makes: `crash-writer MANAGER IDENTITY VOLUME PATH CALL before|after`.
//!
//! The calls between the first upload and the commit are counted from 0: pages to each provider, ticket, nodes to each
//! provider, commit. `before` dies instead of sending call number CALL, `after` dies when its answer is there. A number that
//! is never reached lets the write succeed, and `published` is printed.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use weft_common::client::{ClientOptions, Cluster};
use weft_common::rpc::{Address, Answer, Call, Rpc, RpcError};
use weft_common::transport::{Holder, Identity, QuicRpc};
use weft_common::wire::{BlobRequest, DataRequest, MetadataRequest, Request};
use weft_mount_tests::crash::{DEAD_BYTE, DEAD_RANGE};

#[derive(Debug)]
struct MortalRpc {
    inner: QuicRpc,
    calls: AtomicUsize,
    fatal: usize,
    before: bool,
}

fn is_counted(request: &Request) -> bool {
    matches!(
        request,
        Request::Data(DataRequest::Put { .. })
            | Request::Metadata(MetadataRequest::Put { .. })
            | Request::Blob(BlobRequest::Ticket(_) | BlobRequest::Commit { .. })
    )
}

fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        std::thread::park();
    }
}

#[async_trait::async_trait]
impl Rpc for MortalRpc {
    async fn call(&self, address: &Address, call: Call) -> Result<Answer, RpcError> {
        let fatal = is_counted(&call.request) && self.calls.fetch_add(1, Ordering::SeqCst) == self.fatal;
        if fatal && self.before {
            die();
        }
        let answer = self.inner.call(address, call).await;
        if fatal {
            die();
        }
        answer
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [manager, identity, volume, path, fatal, when] = &arguments[..] else {
        return Err("usage: crash-writer MANAGER IDENTITY VOLUME PATH CALL before|after".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let inner = QuicRpc::new(&Identity::load(Path::new(identity), Holder::Client)?)?;
        let rpc = MortalRpc { inner, calls: AtomicUsize::new(0), fatal: fatal.parse()?, before: when == "before" };
        let cluster = Cluster::connect(Arc::new(rpc), vec![Address(manager.clone())], ClientOptions::default()).await?;
        let volume = cluster.open_volume(volume).await?;
        let bytes = vec![DEAD_BYTE; (DEAD_RANGE.end - DEAD_RANGE.start) as usize];
        volume.write(path, DEAD_RANGE.start, bytes.into()).await?;
        use std::io::Write;
        std::io::stdout().write_all(b"published\n")?;
        Ok(())
    })
}
