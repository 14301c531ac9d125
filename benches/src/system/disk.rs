//! The bare disk: what the kernel's own filesystem does without anybody in between.

use super::System;
use crate::report::Kind;
use std::error::Error;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct Disk(pub(crate) PathBuf);

impl System for Disk {
    fn name(&self) -> &str {
        "disk"
    }

    fn version(&self) -> String {
        "the bare filesystem".to_owned()
    }

    fn kind(&self) -> Kind {
        Kind::Baseline
    }

    fn folder(&self) -> &Path {
        &self.0
    }

    fn processes(&mut self) -> Vec<u32> {
        Vec::new()
    }

    fn remount(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(())
    }
}
