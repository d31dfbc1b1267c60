//! Generates the messages, the client, and a description of them for JSON.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "../../../proto";
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    tonic_prost_build::configure()
        .build_server(false)
        .file_descriptor_set_path(out.join("halfstep.bin"))
        .compile_protos(
            &[format!("{proto}/halfstep/v1/quantization.proto")],
            &[proto.to_string()],
        )?;
    Ok(())
}
