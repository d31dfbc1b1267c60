// Calls Halfstep with grpc-js and the proto alone.
//
// Needs Node 18. In this folder:
//
//     npm install
//     node example.js 127.0.0.1:50051 ../../../tests/golden

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const ATTEMPTS = 5;
const TIMEOUT_MS = 10_000;

const proto = fileURLToPath(new URL('../../../proto', import.meta.url));
const definition = loader.loadSync(
  ['halfstep/v1/quantization.proto', 'google/rpc/status.proto', 'google/rpc/error_details.proto'],
  {
    includeDirs: [proto, join(proto, 'third_party')],
    // Replies in the JSON form of Protocol Buffers: bytes are base64, 64-bit
    // integers are strings. Numbers alone would lose digits past 2^53.
    bytes: String, defaults: true, enums: String, json: true, longs: String,
  });
const { QuantizationService } = grpc.loadPackageDefinition(definition).halfstep.v1;

/** The messages of google.rpc.`kind` in the status details of a failed call. */
function detailsOf(error, kind) {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  if (!bytes) return [];
  const status = definition['google.rpc.Status'].deserialize(bytes);
  return status.details.filter((detail) => detail['@type'].endsWith(`/google.rpc.${kind}`));
}

function fieldsAtFault(error) {
  return detailsOf(error, 'BadRequest')
    .flatMap((detail) => detail.fieldViolations)
    .map((violation) => violation.field);
}

function call(service, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + TIMEOUT_MS;
    service[method](request, { deadline }, (error, reply) =>
      error ? reject(error) : resolve(reply));
  });
}

/**
 * Calls again while the server is busy, after as long as it says each time.
 *
 * A RESOURCE_EXHAUSTED without RetryInfo is over a limit: that never gets better.
 */
async function patiently(service, method, request) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call(service, method, request);
    } catch (error) {
      const [retry] = detailsOf(error, 'RetryInfo');
      const busy = error.code === grpc.status.RESOURCE_EXHAUSTED && retry;
      if (!busy || attempt === ATTEMPTS) throw error;
      const { seconds, nanos } = retry.retryDelay;
      const milliseconds = Number(seconds) * 1e3 + nanos / 1e6;
      console.log(`busy         waiting ${milliseconds} ms`);
      // A timer may fire up to a millisecond early.
      await sleep(Math.ceil(milliseconds) + 1);
    }
  }
}

/** Four reals to 4-bit codes and back. */
async function roundTrip(service) {
  const reals = Float32Array.of(199.93, -9.18, 0, 7.15);
  const { tensor } = await patiently(service, 'Quantize', {
    spec: { bits: 4 },
    // On a big-endian machine, swap the bytes.
    tensor: { dtype: 'DATA_TYPE_FLOAT32', shape: [reals.length], data: Buffer.from(reals.buffer) },
  });
  const codes = [...Buffer.from(tensor.codes, 'base64')];
  const [scale] = tensor.parameters.scale;
  const [zeroPoint] = tensor.parameters.zeroPoint;
  console.log(`quantized    codes ${codes}, scale ${scale}, zero point ${zeroPoint}`);

  const reply = await patiently(service, 'Dequantize', { tensor });
  const data = Buffer.from(reply.tensor.data, 'base64');
  const back = codes.map((_, i) => data.readFloatLE(4 * i));
  console.log(`dequantized  ${back}`);

  const formula = codes.map((code) => Math.fround(scale * (code - zeroPoint)));
  if (`${back}` !== `${formula}`) throw new Error(`dequantized: ${back}; must be ${formula}`);
  reals.forEach((real, i) => {
    if (!(Math.abs(real - back[i]) <= scale / 2)) {
      throw new Error(`${real} came back as ${back[i]}; must be at most half a step off`);
    }
  });
}

async function refusal(service) {
  // Small tensors can be given as numbers, this one as a scalar.
  const request = { spec: { bits: 33 }, tensor: { values: [7.15] } };
  const error = await patiently(service, 'Quantize', request)
    .then(() => new Error('33 bits: not refused'), (refused) => refused);
  const fields = fieldsAtFault(error);
  if (error.code !== grpc.status.INVALID_ARGUMENT || `${fields}` !== 'spec.bits') throw error;
  console.log(`refused      field ${fields[0]}: ${error.details}`);
}

/** Where `actual` lacks what `wanted` holds. What `wanted` leaves out is free. */
function differences(actual, wanted, within, path = '') {
  if (Array.isArray(wanted)) {
    if (actual?.length !== wanted.length) return [`${path}: ${actual}, not ${wanted}`];
    return wanted.flatMap((element, i) => differences(actual[i], element, within, path));
  }
  if (typeof wanted === 'object') {
    return Object.entries(wanted).flatMap(([name, value]) =>
      differences(actual?.[name], value, within, path ? `${path}.${name}` : name));
  }
  // To Object.is, -0 is not 0.
  const same = path in within ? Math.abs(actual - wanted) <= within[path] : Object.is(actual, wanted);
  return same ? [] : [`${path}: ${actual}, not ${wanted}`];
}

async function checkCase(service, { method, request, response, error: wanted, within = {} }) {
  let reply;
  try {
    reply = await patiently(service, method, request);
  } catch (error) {
    if (!wanted) return [`refused: ${error.message}`];
    const code = grpc.status[error.code];
    const fields = fieldsAtFault(error);
    const found = code === wanted.code ? [] : [`refused as ${code}; must be ${wanted.code}`];
    if (wanted.field !== null && fields[0] !== wanted.field) {
      found.push(`refused for ${fields}; must be for ${wanted.field}`);
    }
    return found;
  }
  if (wanted) return [`not refused; must be ${wanted.code}`];
  return differences(reply, response, within);
}

/** Checks every case of every file in `folder`, as docs/golden.md says. */
async function checkGolden(service, folder) {
  let count = 0;
  let failed = 0;
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.json')).sort()) {
    for (const golden of JSON.parse(readFileSync(join(folder, name), 'utf8')).cases) {
      const found = await checkCase(service, golden);
      count += 1;
      if (found.length > 0) {
        failed += 1;
        console.log(`${name}: ${golden.name}: ${found.join('; ')}`);
      }
    }
  }
  if (failed > 0 || count === 0) throw new Error(`${failed} of ${count} golden vectors differ`);
  console.log(`golden       ${count} vectors agree`);
}

const [address, folder] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node example.js ADDRESS GOLDEN_FOLDER');
  process.exit(2);
}
// By default a reply may not be larger than 4 MiB.
const service = new QuantizationService(
  address, grpc.credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 });
try {
  await roundTrip(service);
  await refusal(service);
  await checkGolden(service, folder);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  service.close();
}
