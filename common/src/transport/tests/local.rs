use super::*;
use crate::rpc::{Rpc, RpcError};

#[tokio::test]
async fn a_local_call_means_the_same_as_a_remote_one() {
    let local = Arc::new(LocalRpc::new());
    let (handler, address) = (Arc::new(Echo::default()), Address("data@here".into()));
    local.insert(address.clone(), handler.clone());
    assert_eq!(local.call(&address, echo("body")).await.unwrap().body, "body");
    assert!(handler.last_peer.lock().unwrap().as_ref().unwrap().is_server);
    let Err(RpcError::Service(error)) = local.call(&address, refused()).await else { panic!("not refused") };
    assert_eq!(error.server, "data@here");
    let nowhere = local.call(&Address("elsewhere".into()), echo("")).await;
    assert!(matches!(nowhere, Err(RpcError::Unreachable { .. })));
}

#[tokio::test]
async fn a_local_deadline_ends_the_wait_and_not_the_work() {
    let local = LocalRpc::new();
    let (handler, address) = (Arc::new(Echo::default()), Address("here".into()));
    local.insert(address.clone(), handler.clone());
    let error = local.call(&address, wait(Duration::from_millis(10))).await.unwrap_err();
    assert!(matches!(error, RpcError::TimedOut { .. }), "{error}");
    handler.go.notify_one();
    while handler.finished.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn routing_prefers_this_process() {
    let authority = authority();
    let server = TestServer::start(&authority);
    let (local, handler) = (Arc::new(LocalRpc::new()), Arc::new(Echo::default()));
    local.insert(Address("here".into()), handler.clone());
    let routing = RoutingRpc::new(local, Arc::new(client(&authority)));
    routing.call(&Address("here".into()), echo("")).await.unwrap();
    routing.call(&server.address, echo("")).await.unwrap();
    assert_eq!(handler.begun.load(Ordering::SeqCst), 1);
    assert_eq!(server.echo.begun.load(Ordering::SeqCst), 1);
}
