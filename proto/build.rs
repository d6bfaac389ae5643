//! Compiles every .proto file of `convoy/` without `protoc`.

use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let folder = Path::new("convoy");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    files.sort();
    let descriptors = protox::compile(&files, [PathBuf::from(".")])
        .map_err(|e| io::Error::other(format!("{e:?}")))?;
    tonic_prost_build::configure().bytes(".").emit_rerun_if_changed(false).compile_fds(descriptors)
}
