// ModelInfer as a router reads it, without decoding: in any bytes, right or wrong, it finds the
// names that a plain reading finds, or refuses with INVALID_ARGUMENT.
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { ModelInferRequest } from '../../proto/gen/inference/grpc_service.ts';
import { MAX_NAME_BYTES } from '../../proto/limits.ts';
import { type ModelCall, scanModelCall } from '../../proto/oip/scan.ts';
import { byteChanges, changed } from './byte-changes.ts';
import { pureTarget, type Verdict } from './fuzz-target.ts';

const PATH = '/inference.GRPCInferenceService/ModelInfer';

const texts = fc.oneof(fc.constantFrom('', 'm', 'digits', '1', 'ü'), fc.string({ maxLength: 20 }));
const parameters = fc.array(
  fc.tuple(
    fc.constantFrom('sequence_id', 'sequence_start', 'sequence_end', 'priority'),
    fc.oneof(
      fc.bigInt(0n, 5n).map((int64Param) => ({ $case: 'int64Param' as const, int64Param })),
      fc.boolean().map((boolParam) => ({ $case: 'boolParam' as const, boolParam })),
      texts.map((stringParam) => ({ $case: 'stringParam' as const, stringParam })),
    ),
  ),
  { maxLength: 3 },
);

const requests = fc
  .record({
    modelName: texts,
    modelVersion: texts,
    id: texts,
    parameters: parameters.map(
      (all) => new Map(all.map(([key, parameterChoice]) => [key, { parameterChoice }])),
    ),
    inputs: fc.array(
      fc.record({ name: texts, datatype: texts, shape: fc.array(fc.bigInt(-2n, 9n)) }),
      { maxLength: 2 },
    ),
    rawInputContents: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 2 }),
  })
  .map((part) =>
    Buffer.from(ModelInferRequest.encode(ModelInferRequest.fromPartial(part)).finish()),
  );

/** A field that the message does not have, of each wire type. */
const unknownField = fc.constantFrom(
  Buffer.from([0x98, 0x06, 0x96, 0x01]),
  Buffer.from([0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8]),
  Buffer.from([0x9a, 0x06, 2, 0xff, 0xff]),
  Buffer.from([0x9d, 0x06, 1, 2, 3, 4]),
  Buffer.from([0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06]),
);

/** Messages one behind the other are one message, merged. */
const inputs = fc
  .tuple(
    fc.array(fc.oneof(requests, unknownField), { minLength: 1, maxLength: 3 }),
    fc.oneof(fc.constant([]), fc.array(byteChanges, { maxLength: 2 })),
  )
  .map(([parts, changes]) => changes.reduce(changed, Buffer.concat(parts)));

function scanned(bytes: Uint8Array): ModelCall | undefined {
  try {
    return scanModelCall(PATH, bytes);
  } catch (thrown) {
    if (thrown instanceof StatusError && thrown.code === Code.INVALID_ARGUMENT) return undefined;
    throw thrown;
  }
}

/** The names as they stand at the top of a message; undefined where that is no protobuf. */
function plainNames(bytes: Buffer): readonly [model: Buffer, version: Buffer] | undefined {
  const names: Buffer[] = [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)];
  let at = 0;
  const varint = (): number => {
    for (let i = 0, value = 0; i < 10; i++) {
      const byte = bytes[at];
      if (byte === undefined) return Number.NaN;
      at += 1;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (at < bytes.length) {
    const tag = varint();
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    if (!(number >= 1 && tag < 2 ** 32)) return undefined;
    if (type === 0) {
      if (Number.isNaN(varint())) return undefined;
    } else if (type === 1) at += 8;
    else if (type === 5) at += 4;
    else if (type === 2) {
      const length = varint();
      if (!(at + length <= bytes.length)) return undefined;
      if (number <= 2) names[number] = bytes.subarray(at, at + length);
      at += length;
    } else return undefined;
  }
  const [, model = names[0], version = names[0]] = names;
  if (at > bytes.length || model === undefined || version === undefined) return undefined;
  return [model, version];
}

function judge(bytes: Buffer): Verdict {
  const scan = scanned(bytes);
  const names = plainNames(bytes);
  // Groups are not followed here; parameters that are wrong may be refused.
  if (scan === undefined || names === undefined) return undefined;
  const [model, version] = names.map((name) => name.toString('utf8'));
  if (scan.model !== model) return `the model is ${model}, it found ${scan.model}`;
  if (scan.version !== version) return `the version is ${version}, it found ${scan.version}`;
  return scan.model.length > MAX_NAME_BYTES ? 'a name beyond the limit is let through' : undefined;
}

/** What no byte was changed of must be read, not refused. */
function judgeSound(bytes: Buffer): Verdict {
  const scan = scanned(bytes);
  if (scan === undefined) return 'a sound request is refused';
  const { modelName, modelVersion } = ModelInferRequest.decode(bytes);
  if (scan.model !== modelName || scan.version !== modelVersion) return 'another model is found';
  return judge(bytes);
}

export const modelInferTargets = [
  pureTarget({ name: 'model-infer', share: 0.5, runsPerBatch: 500, input: inputs, judge }),
  pureTarget({
    name: 'model-infer-sound',
    share: 0.3,
    runsPerBatch: 300,
    input: requests,
    judge: judgeSound,
  }),
];
