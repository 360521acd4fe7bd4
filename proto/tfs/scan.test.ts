// Which model TensorFlow Serving's requests are for: the same as in a full decoding, found in the
// first bytes where they tell, and nothing but INVALID_ARGUMENT comes of what is no request.
import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { TensorProto } from '../gen/tensorflow/core/framework/tensor.ts';
import { ClassificationRequest } from '../gen/tensorflow_serving/apis/classification.ts';
import { GetModelMetadataRequest } from '../gen/tensorflow_serving/apis/get_model_metadata.ts';
import { GetModelStatusRequest } from '../gen/tensorflow_serving/apis/get_model_status.ts';
import { MultiInferenceRequest } from '../gen/tensorflow_serving/apis/inference.ts';
import type { ModelSpec } from '../gen/tensorflow_serving/apis/model.ts';
import { PredictRequest } from '../gen/tensorflow_serving/apis/predict.ts';
import { RegressionRequest } from '../gen/tensorflow_serving/apis/regression.ts';
import { MAX_NAME_BYTES } from '../limits.ts';
import { isNamingField, type ModelCall, scanModelCall, scanModelHead } from '../oip/scan.ts';
import { TailScan } from '../oip/tail-scan.ts';
import { versionField } from './predict.ts';

const PREDICTION = '/tensorflow.serving.PredictionService';
const PREDICT = `${PREDICTION}/Predict`;
const MULTI = `${PREDICTION}/MultiInference`;

const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 30 });
const spec: fc.Arbitrary<ModelSpec> = fc.record({
  name,
  signatureName: fc.string({ maxLength: 10 }),
  versionChoice: fc.oneof(
    fc.constant(undefined),
    fc.record({
      $case: fc.constant('version' as const),
      version: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
    }),
    fc.record({ $case: fc.constant('versionLabel' as const), versionLabel: fc.string() }),
  ),
});

/** A request of each method around a spec, with all kinds of things behind it. */
const ENCODE: Record<string, (modelSpec: ModelSpec, filler: Uint8Array) => Uint8Array> = {
  [PREDICT]: (modelSpec, filler) =>
    PredictRequest.encode(
      PredictRequest.fromPartial({
        modelSpec,
        inputs: new Map([['x', TensorProto.fromPartial({ dtype: 1, tensorContent: filler })]]),
        outputFilter: ['y'],
      }),
    ).finish(),
  [`${PREDICTION}/Classify`]: (modelSpec, filler) =>
    ClassificationRequest.encode({ modelSpec, input: examples(filler) }).finish(),
  [`${PREDICTION}/Regress`]: (modelSpec, filler) =>
    RegressionRequest.encode({ modelSpec, input: examples(filler) }).finish(),
  [MULTI]: (modelSpec, filler) =>
    MultiInferenceRequest.encode({
      tasks: [
        { modelSpec, methodName: 'a' },
        { modelSpec, methodName: 'b' },
      ],
      input: examples(filler),
    }).finish(),
  [`${PREDICTION}/GetModelMetadata`]: (modelSpec) =>
    GetModelMetadataRequest.encode({ modelSpec, metadataField: ['signature_def'] }).finish(),
  '/tensorflow.serving.ModelService/GetModelStatus': (modelSpec) =>
    GetModelStatusRequest.encode({ modelSpec }).finish(),
};

function examples(filler: Uint8Array): ClassificationRequest['input'] {
  const bytesList = { value: [filler] };
  const feature = new Map([['f', { kind: { $case: 'bytesList' as const, bytesList } }]]);
  return {
    kind: { $case: 'exampleList', exampleList: { examples: [{ features: { feature } }] } },
  };
}

function expected({ name: model, versionChoice }: ModelSpec): Partial<ModelCall> {
  const isVersion = versionChoice?.$case === 'version';
  return {
    model,
    version: isVersion ? String(versionChoice.version) : '',
    label: versionChoice?.$case === 'versionLabel' ? versionChoice.versionLabel : '',
    sequence: undefined,
  };
}

test('every method: model, version and label are those of the message', (t) => {
  fc.assert(
    fc.property(spec, fc.uint8Array({ maxLength: 300 }), (modelSpec, filler) => {
      for (const [path, encode] of Object.entries(ENCODE)) {
        t.like(scanModelCall(path, encode(modelSpec, filler)), expected(modelSpec), path);
      }
    }),
  );
});

test('the first bytes tell as soon as what comes next has begun, and never anything else', (t) => {
  fc.assert(
    fc.property(spec, fc.nat(400), (modelSpec, cut) => {
      const whole = (ENCODE[PREDICT] as (typeof ENCODE)[string])(modelSpec, new Uint8Array(200));
      const found = scanModelHead(PREDICT, whole.subarray(0, cut));
      if (found === undefined) return;
      t.like(found, expected(modelSpec));
      t.is(whole[found.settledAt], 0x12, 'the first input');
      t.true(found.settledAt < cut);
    }),
  );
  t.truthy(scanModelHead(PREDICT, Buffer.from([0x0a, 3, 0x0a, 1, 0x6d, 0x12])));
});

test('a ModelSpec that comes again behind the tensors of a large request is refused', (t) => {
  t.true(isNamingField(PREDICT, 1));
  t.false(isNamingField(PREDICT, 2));
  t.true(isNamingField(MULTI, 1));
  const tail = new TailScan(PREDICT, 0);
  tail.push(Buffer.from([0x12, 2, 0, 0]));
  t.throws(() => tail.push(Buffer.from([0x0a, 0])), { message: /must come first/ });
});

test('a ModelSpec that comes twice is merged, as protobuf has it', (t) => {
  const message = Buffer.concat([
    Buffer.from([0x0a, 6, 0x0a, 1, 0x6d, 0x1a, 1, 0x73]),
    Buffer.from([0x0a, 5, 0x22, 3, 0x6f, 0x6c, 0x64]),
  ]);
  t.like(scanModelCall(PREDICT, message), { model: 'm', version: '', label: 'old' });
  const told = Buffer.concat([message, versionField(300)]);
  t.like(scanModelCall(PREDICT, told), { model: 'm', version: '300', label: '' });
  const empty = Buffer.from([0x0a, 5, 0x0a, 1, 0x6d, 0x12, 0]);
  t.is(scanModelCall(PREDICT, empty)?.version, '0', 'a version that is there, without a value');
});

test('a request that names no model is told so in the words of TensorFlow Serving', (t) => {
  const cases: readonly (readonly [path: string, bytes: readonly number[], text: RegExp])[] = [
    [PREDICT, [], /^Missing ModelSpec$/],
    [PREDICT, [0x0a, 0], /^ModelSpec has no name specified\.$/],
    [MULTI, [], /^Missing ModelSpec$/],
    [MULTI, [0x0a, 0], /^Found ModelSpec with an empty model name\.$/],
    [
      MULTI,
      [0x0a, 5, 0x0a, 3, 0x0a, 1, 0x6d, 0x0a, 5, 0x0a, 3, 0x0a, 1, 0x6e],
      /^All ModelSpecs in a MultiInferenceRequest must access the same model name\.$/,
    ],
    [PREDICT, [0x0a, 4, 0x0a, 2, 0xff, 0xff], /not valid UTF-8/],
    [PREDICT, [0x0a, 4, 0x0a, 9, 0x6d, 0x6d], /are left/],
  ];
  for (const [path, bytes, text] of cases) {
    const error = t.throws(() => scanModelCall(path, Buffer.from(bytes)), {
      instanceOf: StatusError,
      message: text,
    });
    t.is(error?.code, Code.INVALID_ARGUMENT);
  }
  const long = PredictRequest.encode(
    PredictRequest.fromPartial({ modelSpec: { name: 'm'.repeat(MAX_NAME_BYTES + 1) } }),
  ).finish();
  t.throws(() => scanModelCall(PREDICT, long), { message: /more than 1024 bytes/ });
});

test('damaged requests are read, or refused with INVALID_ARGUMENT', (t) => {
  fc.assert(
    fc.property(spec, fc.nat(200), fc.nat(255), (modelSpec, at, byte) => {
      for (const [path, encode] of Object.entries(ENCODE)) {
        const bytes = Buffer.from(encode(modelSpec, new Uint8Array(20)));
        bytes[at % bytes.length] = byte;
        try {
          scanModelCall(path, bytes);
          scanModelHead(path, bytes);
          t.pass();
        } catch (thrown) {
          t.true(thrown instanceof StatusError && thrown.code === Code.INVALID_ARGUMENT);
        }
      }
    }),
  );
});
