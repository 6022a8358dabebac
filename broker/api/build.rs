//! Compiles the protocol of the watch stream; protox is a protobuf compiler in Rust, so no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/watch.proto");
    let descriptors = protox::compile(["proto/watch.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
