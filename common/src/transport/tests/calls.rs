use super::*;
use crate::rpc::{Rpc, RpcError};

fn pattern(length: usize) -> Bytes {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_every_size_come_back_unchanged() {
    let authority = authority();
    let (server, rpc) = (TestServer::start(&authority), client(&authority));
    for length in [0, 1, 1000, 65_535, 65_536, 1 << 20, (1 << 20) + 1, 64 << 20] {
        let body = pattern(length);
        let answer = rpc.call(&server.address, echo(body.clone())).await.unwrap();
        assert!(answer.body == body, "{length} bytes");
    }
    let peer = server.echo.last_peer.lock().unwrap().clone();
    assert_eq!(peer, Some(Peer { name: "desk-1".into(), is_server: false }));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_share_one_connection() {
    let authority = authority();
    let (server, rpc) = (TestServer::start(&authority), Arc::new(client(&authority)));
    let calls = (0..600usize).map(|i| {
        let (rpc, address) = (rpc.clone(), server.address.clone());
        tokio::spawn(async move { rpc.call(&address, echo(pattern(i * 40))).await.unwrap().body == pattern(i * 40) })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(call.await.unwrap());
    }
    assert_eq!(rpc.open_connections(), 1);
}

#[tokio::test]
async fn a_server_says_who_it_is_in_its_errors() {
    let authority = authority();
    let (server, rpc) = (TestServer::start(&authority), client(&authority));
    let Err(RpcError::Service(error)) = rpc.call(&server.address, refused()).await else { panic!("not refused") };
    assert_eq!(error.kind, ErrorKind::WrongServer);
    assert_eq!(error.server, format!("data@{}", server.address));
}

#[tokio::test]
async fn a_deadline_ends_the_wait_and_not_the_work() {
    let authority = authority();
    let (server, rpc) = (TestServer::start(&authority), client(&authority));
    let error = rpc.call(&server.address, wait(Duration::from_millis(50))).await.unwrap_err();
    assert!(matches!(error, RpcError::TimedOut { .. }), "{error}");
    assert!(error.is_transient());
    server.echo.go.notify_one();
    assert_eq!(rpc.call(&server.address, echo("still there")).await.unwrap().body, "still there");
    let echo = server.echo.clone();
    server.stop().await;
    assert_eq!(echo.finished.load(Ordering::SeqCst), 2, "the abandoned request was carried out");
}

#[tokio::test]
async fn nobody_there_is_no_answer_in_time_and_then_unreachable() {
    let authority = authority();
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = Address(nobody.local_addr().unwrap().to_string());
    let rpc = client(&authority);
    let short = Call { deadline: Duration::from_millis(50), ..echo("") };
    assert!(matches!(rpc.call(&address, short).await, Err(RpcError::TimedOut { .. })));
    let error = rpc.call(&address, echo("")).await.unwrap_err();
    assert!(matches!(error, RpcError::Unreachable { .. }), "{error}");
    let error = rpc.call(&Address("no-such-host.invalid:1".into()), echo("")).await.unwrap_err();
    assert!(matches!(error, RpcError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let authority = authority();
    let (server, rpc) = (TestServer::start(&authority), client(&authority));
    let address = server.address.clone();
    rpc.call(&address, echo("before")).await.unwrap();
    server.stop().await;
    let server = TestServer::start_at(&authority, address.0.parse().unwrap());
    let answer = loop {
        match rpc.call(&address, echo("after")).await {
            Ok(answer) => break answer,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(answer.body, "after");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_lets_requests_finish() {
    let authority = authority();
    let (server, rpc) = (TestServer::start(&authority), Arc::new(client(&authority)));
    let (caller, address) = (rpc.clone(), server.address.clone());
    let waiting = tokio::spawn(async move { caller.call(&address, wait(Duration::from_secs(30))).await });
    while server.echo.begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let echo = server.echo.clone();
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(20)).await;
    echo.go.notify_one();
    stopping.await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[test]
fn a_killed_and_restarted_server_says_that_it_was_restarted() {
    let authority = authority();
    let identity = authority.issue(Holder::Server, "server").unwrap();
    // A runtime that goes away takes the server with it, without a word to its clients.
    let life = |address: SocketAddr| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(async { Listener::bind(&identity, address).unwrap() });
        let address = listener.local_address().unwrap();
        let (stop, stopped) = watch::channel(false);
        runtime.spawn(listener.serve(Arc::new(Echo::default()), "echo".into(), stopped));
        (runtime, address, stop)
    };
    // The reset key follows from the port, so it has to be known beforehand. It is one that no client is given meanwhile.
    let free = SocketAddr::from(([127, 0, 0, 1], 16384 + (std::process::id() % 16384) as u16));
    let mut server = life(free);
    let address = server.1;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address_called = Address(address.to_string());
    let rpc = runtime.block_on(async { client(&authority) });
    let mut restarted = || {
        runtime.block_on(rpc.call(&address_called, echo("before"))).unwrap();
        let (first, _, stop) =
            std::mem::replace(&mut server, (tokio::runtime::Runtime::new().unwrap(), address, watch::channel(false).0));
        first.shutdown_background();
        drop(stop);
        // The old socket closes when the runtime's threads are gone.
        while std::net::UdpSocket::bind(address).is_err() {
            std::thread::yield_now();
        }
        server = life(address);
        runtime.block_on(rpc.call(&address_called, echo("lost"))).err()
    };
    // Where the old server took seconds to go, the client has met the new one by a keep-alive before it calls.
    let error = (0..10).find_map(|_| restarted()).unwrap();
    assert!(error.is_transient() && error.to_string().contains("it was restarted"), "{error}");
    assert_eq!(runtime.block_on(rpc.call(&address_called, echo("after"))).unwrap().body, "after");
}
