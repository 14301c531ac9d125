//! scratch
use weft_common::client::{ClientOptions, Cluster};
use weft_common::weave::Geometry;
use weft_common::wire::VolumeSettings;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    tracing_subscriber::fmt().with_env_filter(std::env::var("LOG").unwrap_or("warn".into())).with_writer(std::io::stderr).init();
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    rt.block_on(async {
        let node = weft_server::node::start_local(args[1].as_ref()).await.unwrap();
        let mut mounts = vec![];
        for mp in &args[2..] {
            let cluster = Cluster::connect(node.rpc(), node.managers(), ClientOptions::default()).await.unwrap();
            let page = std::env::var("PAGE").ok().and_then(|p| p.parse().ok()).unwrap_or(1 << 20);
            let _ = cluster
                .create_volume("show", VolumeSettings { geometry: Geometry::new(page, 32).unwrap(), copies: 1 }, (0, 0))
                .await;
            let v = cluster.open_volume("show").await.unwrap();
            let mut o = weft_fs::MountOptions::new(mp, "weft://local/show");
            if args.len() == 3 {
                o = o.local();
            }
            mounts.push(weft_fs::mount(v, &o, &tokio::runtime::Handle::current()).unwrap());
        }
        eprintln!("ready");
        tokio::signal::ctrl_c().await.unwrap();
        for m in &mounts {
            eprintln!("{:?}", m.unmount().await);
        }
        node.stop().await.unwrap();
    });
}
