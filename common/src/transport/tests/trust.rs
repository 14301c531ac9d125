use super::*;
use crate::rpc::{Rpc, RpcError};
use quinn::crypto::rustls::QuicClientConfig;

#[track_caller]
fn assert_untrusted(result: Result<Answer, RpcError>, server: &TestServer) {
    match result {
        Err(RpcError::Untrusted { .. }) => {}
        other => panic!("expected Untrusted, got {other:?}"),
    }
    assert_eq!(server.echo.begun.load(Ordering::SeqCst), 0, "an untrusted peer's request was carried out");
}

#[tokio::test]
async fn a_client_does_not_trust_a_server_of_another_cluster() {
    let server = TestServer::start(&authority());
    let same_id_other_key = client(&authority());
    assert_untrusted(same_id_other_key.call(&server.address, echo("")).await, &server);
    let other_cluster = client(&ClusterAuthority::create(ClusterId(5)).unwrap());
    assert_untrusted(other_cluster.call(&server.address, echo("")).await, &server);
}

#[tokio::test]
async fn a_server_gives_nothing_to_a_client_that_another_authority_signed() {
    let authority = authority();
    let server = TestServer::start(&authority);
    // It accepts the server, so that only the server can refuse it.
    let mut forged = ClusterAuthority::create(CLUSTER).unwrap().issue(Holder::Client, "intruder").unwrap();
    forged.authority = authority.issue(Holder::Client, "x").unwrap().authority;
    let rpc = QuicRpc::new(&forged).unwrap();
    assert_untrusted(rpc.call(&server.address, echo("")).await, &server);
}

#[tokio::test]
async fn an_expired_client_is_refused() {
    let authority = authority();
    let server = TestServer::start(&authority);
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    let (certificate, key) = authority.sign(Holder::Client, "late", long_ago).unwrap();
    let rpc = QuicRpc::new(&authority.identity(Holder::Client, certificate.into(), &key).unwrap()).unwrap();
    assert_untrusted(rpc.call(&server.address, echo("")).await, &server);
}

#[tokio::test]
async fn a_client_certificate_cannot_pose_as_a_server() {
    let authority = authority();
    let mut posing = authority.issue(Holder::Client, "desk").unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    assert!(matches!(Listener::bind(&posing, any), Err(TransportError::Identity(_))));
    posing.holder = Holder::Server;
    let listener = Listener::bind(&posing, any).unwrap();
    let address = Address(listener.local_address().unwrap().to_string());
    let (_stop, stopped) = watch::channel(false);
    let handler = Arc::new(Echo::default());
    let task = tokio::spawn(listener.serve(handler.clone(), "posing".into(), stopped));
    let error = client(&authority).call(&address, echo("secret")).await.unwrap_err();
    assert!(matches!(error, RpcError::Untrusted { .. }), "{error}");
    assert_eq!(handler.begun.load(Ordering::SeqCst), 0);
    task.abort();
}

async fn call_with(tls: rustls::ClientConfig, authority: &ClusterAuthority, server: &TestServer) -> Result<Answer, RpcError> {
    let mut rpc = client(authority);
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    rpc.replace_crypto(Arc::new(crypto));
    rpc.call(&server.address, echo("")).await
}

#[tokio::test]
async fn no_certificate_no_answer() {
    let authority = authority();
    let server = TestServer::start(&authority);
    let identity = authority.issue(Holder::Client, "x").unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut tls = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![crate::wire::PROTOCOL.to_vec()];
    assert_untrusted(call_with(tls, &authority, &server).await, &server);
}

#[tokio::test]
async fn another_protocol_version_is_refused() {
    let authority = authority();
    let server = TestServer::start(&authority);
    let mut tls = super::tls::client_config(&authority.issue(Holder::Client, "x").unwrap()).unwrap();
    tls.alpn_protocols = vec![b"weft/0".to_vec()];
    let result = call_with(tls, &authority, &server).await;
    assert!(result.as_ref().is_err_and(|error| error.to_string().contains("same version of WeftFS")), "{result:?}");
    assert_untrusted(result, &server);
}
