//! Data providers: page objects, write-once. They know neither blobs nor versions.

mod service;

pub use service::DataProvider;
