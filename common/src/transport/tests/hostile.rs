use super::*;
use crate::limits::{BODY_BYTES_MAX, HEADER_BYTES_MAX};
use crate::rpc::{Rpc, RpcError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quinn::{Connection, ReadError, ReadToEndError};

/// Sends bytes as one request; the answer's bytes, or the code that the server reset the stream with.
async fn send_raw(connection: &Connection, bytes: &[u8]) -> Result<Vec<u8>, u64> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    // The server may stop reading before the end.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    match receive.read_to_end(1 << 20).await {
        Ok(answer) => Ok(answer),
        Err(ReadToEndError::Read(ReadError::Reset(code))) => Err(code.into()),
        Err(error) => panic!("the connection was lost: {error}"),
    }
}

async fn connected(server: &TestServer, rpc: &QuicRpc) -> Connection {
    rpc.call(&server.address, echo("hello")).await.unwrap();
    rpc.connection(&server.address).unwrap()
}

fn request(body_announced: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = super::frame::encode_request(
        RequestId(1),
        1000,
        &Request::Data(DataRequest::Sync { incarnation: crate::id::Incarnation(1) }),
        0,
    )
    .unwrap()
    .to_vec();
    bytes[4..8].copy_from_slice(&body_announced.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_the_connection_lives() {
    let authority = authority();
    let (server, rpc) = (TestServer::start(&authority), client(&authority));
    let connection = connected(&server, &rpc).await;
    let begun = server.echo.begun.load(Ordering::SeqCst);
    let long_header = [(HEADER_BYTES_MAX + 1).to_le_bytes(), [0; 4]].concat();
    let mut trailing_in_header = request(0, b"");
    trailing_in_header[0] += 1;
    trailing_in_header.push(0);
    let malformed = [
        ("empty", vec![]),
        ("oversized header", long_header),
        ("oversized body", request(BODY_BYTES_MAX + 1, b"")),
        ("truncated body", request(10, b"12345")),
        ("trailing bytes", request(3, b"12345")),
        ("trailing bytes after an empty body", request(0, b"1")),
        ("trailing bytes in the header", trailing_in_header),
        ("truncated header", request(0, b"")[..9].to_vec()),
    ];
    for (what, bytes) in malformed {
        assert_eq!(send_raw(&connection, &bytes).await, Err(1), "{what}");
    }
    assert_eq!(server.echo.begun.load(Ordering::SeqCst), begun, "a malformed request was carried out");
    assert!(send_raw(&connection, &request(3, b"123")).await.unwrap().ends_with(b"123"));
    assert_eq!(rpc.call(&server.address, echo("fine")).await.unwrap().body, "fine");
    assert_eq!(rpc.open_connections(), 1);
}

#[tokio::test]
async fn an_oversized_request_does_not_leave_its_client() {
    let authority = authority();
    let (server, rpc) = (TestServer::start(&authority), client(&authority));
    let body = vec![0; BODY_BYTES_MAX as usize + 1];
    let error = rpc.call(&server.address, echo(body)).await.unwrap_err();
    assert!(matches!(error, RpcError::Malformed { .. }), "{error}");
    assert_eq!(server.echo.begun.load(Ordering::SeqCst), 0);
}

#[test]
fn garbage_never_harms_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let authority = authority();
    let (server, rpc, connection) = runtime.block_on(async {
        let (server, rpc) = (TestServer::start(&authority), client(&authority));
        let connection = connected(&server, &rpc).await;
        (server, rpc, connection)
    });
    // Random bytes behind plausible lengths, and valid requests with one byte changed.
    let garbage = prop::collection::vec(any::<u8>(), 0..200).prop_map(|header| {
        let mut bytes = [(header.len() as u32).to_le_bytes(), [0; 4]].concat();
        bytes.extend(header);
        bytes
    });
    let flipped = (0..40usize, any::<u8>()).prop_map(|(place, value)| {
        let mut bytes = request(12, b"some content");
        let place = place % bytes.len();
        bytes[place] = value;
        bytes
    });
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    let checked = runner.run(&prop_oneof![garbage, flipped], |bytes| {
        // Some are requests by chance: then `Delete` waits to be let go.
        server.echo.go.notify_one();
        let outcome =
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), send_raw(&connection, &bytes)).await });
        prop_assert!(outcome.is_ok(), "no answer to {:?}", bytes);
        Ok(())
    });
    checked.unwrap();
    let answer = runtime.block_on(rpc.call(&server.address, echo("fine"))).unwrap();
    assert_eq!(answer.body, "fine");
}
