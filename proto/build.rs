//! Compiles the .proto files in Rust (protox), so that nobody needs protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        [
            "handoff/v1/manifest.proto",
            "handoff/v1/event.proto",
            "handoff/v1/runs.proto",
            "handoff/v1/enrollment.proto",
            "handoff/v1/admin.proto",
        ],
        ["proto"],
    )?;
    tonic_prost_build::configure()
        // Frames carry megabytes: hand them on without copying.
        .bytes(".handoff.v1.Frame")
        .bytes(".handoff.v1.OutputRecord")
        .compile_fds(descriptors)?;
    Ok(())
}
