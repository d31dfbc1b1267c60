//! Calls Halfstep with tonic and the proto alone.
//!
//! Needs Rust 1.88 and protoc. In this folder:
//!
//!     cargo run -- 127.0.0.1:50051 ../../../tests/golden

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

mod golden;

pub mod pb {
    tonic::include_proto!("halfstep.v1");
}

const ATTEMPTS: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(10);

pub type Client = pb::quantization_service_client::QuantizationServiceClient<Channel>;
pub type Failure = Box<dyn Error>;

/// Calls again while the server is busy, after as long as it says each time.
///
/// A RESOURCE_EXHAUSTED without RetryInfo is over a limit: that never gets better.
pub async fn patiently<T>(
    mut call: impl AsyncFnMut() -> Result<Response<T>, Status>,
) -> Result<T, Status> {
    for attempt in 1.. {
        let status = match call().await {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(status) => status,
        };
        let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
        match delay {
            Some(delay) if status.code() == Code::ResourceExhausted && attempt < ATTEMPTS => {
                println!("busy         waiting {delay:?}");
                tokio::time::sleep(delay).await;
            }
            _ => return Err(status),
        }
    }
    unreachable!("the last attempt returns")
}

/// The server, too, is told when nobody waits for the answer any more.
pub fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(TIMEOUT);
    request
}

/// Four reals to 4-bit codes and back.
async fn round_trip(client: &Client) -> Result<(), Failure> {
    let reals = [199.93_f32, -9.18, 0.0, 7.15];
    let request = pb::QuantizeRequest {
        how: Some(pb::quantize_request::How::Spec(pb::QuantizationSpec {
            bits: 4,
            ..Default::default()
        })),
        tensor: Some(pb::Tensor {
            dtype: pb::DataType::Float32.into(),
            shape: vec![reals.len() as i64],
            data: reals.iter().flat_map(|real| real.to_le_bytes()).collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let reply = patiently(async || client.clone().quantize(timed(request.clone())).await).await?;
    let tensor = reply.tensor.ok_or("no tensor in the reply")?;
    let parameters = tensor.parameters.clone().ok_or("no parameters in the reply")?;
    let (scale, zero_point) = (parameters.scale[0] as f32, parameters.zero_point[0]);
    let codes = tensor.codes.clone();
    println!("quantized    codes {codes:?}, scale {scale}, zero point {zero_point}");

    let request = pb::DequantizeRequest { tensor: Some(tensor), ..Default::default() };
    let reply = patiently(async || client.clone().dequantize(timed(request.clone())).await).await?;
    let data = reply.tensor.ok_or("no tensor in the reply")?.data;
    let back: Vec<f32> = data
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("4 bytes")))
        .collect();
    println!("dequantized  {back:?}");

    let formula: Vec<f32> =
        codes.iter().map(|&code| scale * (i32::from(code) - zero_point) as f32).collect();
    if back != formula {
        return Err(format!("dequantized: {back:?}; must be {formula:?}").into());
    }
    let near = |(real, back): (&f32, &f32)| (real - back).abs() <= scale / 2.0;
    if back.len() != reals.len() || !reals.iter().zip(&back).all(near) {
        return Err(
            format!("{reals:?} came back as {back:?}; must be at most half a step off").into()
        );
    }
    Ok(())
}

/// The fields at fault, from the BadRequest in the status details.
pub fn fields_at_fault(status: &Status) -> Vec<String> {
    let request = status.get_details_bad_request();
    let violations = request.map(|request| request.field_violations).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

async fn refusal(client: &Client) -> Result<(), Failure> {
    let request = pb::QuantizeRequest {
        how: Some(pb::quantize_request::How::Spec(pb::QuantizationSpec {
            bits: 33,
            ..Default::default()
        })),
        // Small tensors can be given as numbers, this one as a scalar.
        tensor: Some(pb::Tensor { values: vec![7.15], ..Default::default() }),
        ..Default::default()
    };
    match patiently(async || client.clone().quantize(timed(request.clone())).await).await {
        Err(status) if status.code() == Code::InvalidArgument => {
            let fields = fields_at_fault(&status);
            println!("refused      field {}: {}", fields.join(", "), status.message());
            if fields == ["spec.bits"] { Ok(()) } else { Err("must name spec.bits".into()) }
        }
        Err(status) => Err(status.into()),
        Ok(_) => Err("33 bits: not refused".into()),
    }
}

async fn run(address: &str, folder: &str) -> Result<(), Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let channel = endpoint.connect().await?;
    // By default a reply may not be larger than 4 MiB.
    let client = Client::new(channel).max_decoding_message_size(usize::MAX);
    round_trip(&client).await?;
    refusal(&client).await?;
    let count = golden::check(&client, folder).await?;
    println!("golden       {count} vectors agree");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, folder] = arguments.as_slice() else {
        eprintln!("usage: halfstep-example ADDRESS GOLDEN_FOLDER");
        return ExitCode::from(2);
    };
    match run(address, folder).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
