//! weftd
fn main() {}
