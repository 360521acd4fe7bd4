//! Generated code: the inference service out of the repository's own descriptors, and the echo
//! service, whose messages are bytes as they are.
use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = "../../../proto/gen/descriptors.binpb";
    println!("cargo:rerun-if-changed={path}");
    let mut files = FileDescriptorSet::decode(std::fs::read(path)?.as_slice())?;
    files.file.retain(|file| file.name().starts_with("inference/"));
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .generate_default_stubs(true)
        .bytes(".")
        .compile_fds(files)?;

    let echo = tonic_build::manual::Method::builder()
        .name("echo")
        .route_name("Echo")
        .input_type("bytes::Bytes")
        .output_type("bytes::Bytes")
        .codec_path("torus_rivals::BytesCodec")
        .build();
    let service = tonic_build::manual::Service::builder()
        .name("Echo")
        .package("bench")
        .method(echo)
        .build();
    tonic_build::manual::Builder::new()
        .build_client(false)
        .build_transport(false)
        .compile(&[service]);
    Ok(())
}
