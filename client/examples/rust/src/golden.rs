//! The golden vectors: docs/golden.md says what is in them.

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;
use tonic::{Response, Status};

use crate::{Client, Failure, fields_at_fault, patiently, pb, timed};

// What the JSON form needs to know of the messages.
const DESCRIPTION: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/halfstep.bin"));

/// Checks every case of every file in `folder` and returns how many there are.
pub async fn check(client: &Client, folder: &str) -> Result<usize, Failure> {
    let pool = DescriptorPool::decode(DESCRIPTION)?;
    let (mut count, mut failed) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let file: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        for case in file["cases"].as_array().ok_or("no cases")? {
            let mut to = client.clone();
            let found = match case["method"].as_str().unwrap_or_default() {
                "Quantize" => {
                    let call = async |r: pb::QuantizeRequest| to.quantize(timed(r)).await;
                    check_case(&pool, case, call).await?
                }
                "Dequantize" => {
                    let call = async |r: pb::DequantizeRequest| to.dequantize(timed(r)).await;
                    check_case(&pool, case, call).await?
                }
                "FakeQuantize" => {
                    let call = async |r: pb::FakeQuantizeRequest| to.fake_quantize(timed(r)).await;
                    check_case(&pool, case, call).await?
                }
                "MeasureError" => {
                    let call = async |r: pb::MeasureErrorRequest| to.measure_error(timed(r)).await;
                    check_case(&pool, case, call).await?
                }
                other => return Err(format!("{other}: not a method").into()),
            };
            count += 1;
            if !found.is_empty() {
                failed += 1;
                println!("{}: {}: {}", path.display(), case["name"], found.join("; "));
            }
        }
    }
    if failed > 0 || count == 0 {
        return Err(format!("{failed} of {count} golden vectors differ").into());
    }
    Ok(count)
}

/// Calls `call` with the request of `case` and returns what differs from it.
async fn check_case<Request, Reply>(
    pool: &DescriptorPool,
    case: &Value,
    mut call: impl AsyncFnMut(Request) -> Result<Response<Reply>, Status>,
) -> Result<Vec<String>, Failure>
where
    Request: prost::Message + Default + Clone,
    Reply: prost::Message,
{
    let name = case["method"].as_str().ok_or("a case without method")?;
    let message = |kind| {
        let name = format!("halfstep.v1.{name}{kind}");
        pool.get_message_by_name(&name).ok_or(format!("{name}: not in the proto"))
    };
    let request: Request =
        DynamicMessage::deserialize(message("Request")?, case["request"].clone())?
            .transcode_to()?;
    let mut found = Vec::new();
    match (patiently(async || call(request.clone()).await).await, case.get("error")) {
        (Ok(reply), None) => {
            let mut message = DynamicMessage::new(message("Response")?);
            message.transcode_from(&reply)?;
            let options = SerializeOptions::new().skip_default_fields(false);
            let actual = message.serialize_with_options(serde_json::value::Serializer, &options)?;
            let within = case.get("within").unwrap_or(&Value::Null);
            differences(&actual, &case["response"], within, "", &mut found);
        }
        (Err(status), Some(error)) => {
            let field = error["field"].as_str();
            let fields = fields_at_fault(&status);
            // InvalidArgument here, INVALID_ARGUMENT there.
            let code = format!("{:?}", status.code()).to_uppercase();
            if code != error["code"].as_str().unwrap_or_default().replace('_', "") {
                found.push(format!("refused as {:?}; must be {}", status.code(), error["code"]));
            }
            if field.is_some() && fields.first().map(String::as_str) != field {
                found.push(format!("refused for {fields:?}; must be for {}", error["field"]));
            }
        }
        (Ok(_), Some(error)) => found.push(format!("not refused; must be {error}")),
        (Err(status), None) => found.push(format!("refused: {}", status.message())),
    }
    Ok(found)
}

/// Where `actual` lacks what `wanted` holds. What `wanted` leaves out is free.
fn differences(
    actual: &Value,
    wanted: &Value,
    within: &Value,
    path: &str,
    found: &mut Vec<String>,
) {
    let same = match (actual, wanted) {
        (Value::Object(a), Value::Object(w)) => {
            for (name, value) in w {
                let here = format!("{path}.{name}");
                differences(a.get(name).unwrap_or(&Value::Null), value, within, &here, found);
            }
            return;
        }
        (Value::Array(a), Value::Array(w)) if a.len() == w.len() => {
            for (a, w) in a.iter().zip(w) {
                differences(a, w, within, path, found);
            }
            return;
        }
        (Value::Number(a), Value::Number(w)) => {
            let (a, w) = (a.as_f64().unwrap_or(f64::NAN), w.as_f64().unwrap_or(f64::NAN));
            match within.get(&path[1..]).and_then(Value::as_f64) {
                Some(tolerance) => (a - w).abs() <= tolerance,
                // By bits: -0.0 is not 0.0.
                None => a.to_bits() == w.to_bits(),
            }
        }
        _ => actual == wanted,
    };
    if !same {
        found.push(format!("{}: {actual}, not {wanted}", &path[1..]));
    }
}
