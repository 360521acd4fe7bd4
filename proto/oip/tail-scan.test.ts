import test from 'ava';
import fc from 'fast-check';
import { type InferParameter, ModelInferRequest } from '../gen/inference/grpc_service.ts';
import { scanModelCall, scanModelHead } from './scan.ts';
import { TailScan } from './tail-scan.ts';

const PATH = '/inference.GRPCInferenceService/ModelInfer';

function sequenceOf(id: bigint): Map<string, InferParameter> {
  if (id === 0n) return new Map();
  return new Map([['sequence_id', { parameterChoice: { $case: 'int64Param', int64Param: id } }]]);
}

const requests = fc
  .record({
    modelName: fc.string({ minLength: 1, maxLength: 20 }),
    modelVersion: fc.constantFrom('', '1', '12'),
    id: fc.string({ maxLength: 10 }),
    sequence: fc.constantFrom(0n, 5n, 300n),
    tensors: fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { minLength: 1 }),
  })
  .map(({ sequence, tensors, ...rest }) =>
    ModelInferRequest.encode(
      ModelInferRequest.fromPartial({
        ...rest,
        parameters: sequenceOf(sequence),
        inputs: [{ name: 'x', datatype: 'FP32', shape: [1n, 2n] }],
        rawInputContents: tensors,
      }),
    ).finish(),
  );

/** Cuts of 1 and more bytes. */
const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 });

function feed(scan: TailScan, bytes: Uint8Array, sizes: readonly number[]): void {
  for (let at = 0, piece = 0; at < bytes.length; piece += 1) {
    const size = sizes[piece % sizes.length] ?? 1;
    scan.push(bytes.subarray(at, at + size));
    at += size;
  }
}

test('the head of a request says what the whole does, and its tail says nothing more', (t) => {
  fc.assert(
    fc.property(requests, cuts, (request, sizes) => {
      const head = scanModelHead(PATH, request);
      if (head === undefined) return t.fail('the tensors come behind the name');
      const { settledAt, ...named } = head;
      t.like(scanModelCall(PATH, request), named);
      t.deepEqual(scanModelHead(PATH, request.subarray(0, settledAt + 1)), head);
      feed(new TailScan(PATH, settledAt), request.subarray(settledAt), sizes);
      return true;
    }),
  );
});

test('a name, version or parameter that comes again behind the tensors is refused', (t) => {
  const again = fc.constantFrom(
    ModelInferRequest.fromPartial({ modelName: 'other' }),
    ModelInferRequest.fromPartial({ modelVersion: '7' }),
    ModelInferRequest.fromPartial({ parameters: sequenceOf(9n) }),
  );
  fc.assert(
    fc.property(requests, again, cuts, (request, more, sizes) => {
      const at = scanModelHead(PATH, request)?.settledAt ?? 0;
      const whole = Buffer.concat([request, ModelInferRequest.encode(more).finish()]);
      t.throws(() => feed(new TailScan(PATH, at), whole.subarray(at), sizes), {
        message: /must come first/,
      });
    }),
  );
});

test('unknown fields of every wire type pass, groups and what is in them too', (t) => {
  const unknown = Buffer.from([
    ...[0xa0, 0x06, 0xff, 0x01], // field 100, a varint
    ...[0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
    ...[0xa5, 0x06, 1, 2, 3, 4],
    ...[0xa3, 0x06, 0x0a, 0x01, 0x61, 0xa4, 0x06], // a group with a field 1 of its own
    ...[0xa2, 0x06, 0x02, 0x0a, 0x0a],
  ]);
  for (const size of [1, 3, 100]) {
    t.notThrows(() => feed(new TailScan(PATH, 0), unknown, [size]));
  }
});

test('what is no protobuf is refused', (t) => {
  const bad: readonly (readonly number[])[] = [
    [0x00],
    [0x07],
    [0xa6, 0x06],
    [0xa4, 0x06],
    Array.from({ length: 10 }, () => 0xff),
    [0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    Array.from({ length: 101 }, () => [0xa3, 0x06]).flat(),
  ];
  for (const bytes of bad) {
    t.throws(() => feed(new TailScan(PATH, 0), Uint8Array.from(bytes), [1]), undefined, `${bytes}`);
  }
});

test('a head that is cut off, or has its tensors first, does not tell', (t) => {
  const request = ModelInferRequest.encode(ModelInferRequest.fromPartial({ modelName: 'm' }));
  const bytes = request.finish();
  t.is(scanModelHead(PATH, bytes), undefined, 'a version may follow yet');
  t.is(scanModelHead(PATH, bytes.subarray(0, 2)), undefined);
  const tensors = ModelInferRequest.encode(
    ModelInferRequest.fromPartial({ rawInputContents: [new Uint8Array(100)] }),
  ).finish();
  const late = scanModelHead(PATH, Buffer.concat([tensors, bytes]));
  t.is(late?.model, '', 'then the tail scan meets the name');
  t.is(scanModelHead('/x/Y', bytes), undefined);
});
