// A router learns from the parameters which sequence a request belongs to, as a node would.
import test from 'ava';
import fc from 'fast-check';
import { StatusError } from '../../common/status.ts';
import { type InferParameter, ModelInferRequest } from '../gen/inference/grpc_service.ts';
import { scanModelCall } from './scan.ts';
import { MAX_SEQUENCE_ID_BYTES, type Sequence } from './sequence.ts';

type Choice = NonNullable<InferParameter['parameterChoice']>;

const int64 = (int64Param: bigint): Choice => ({ $case: 'int64Param', int64Param });
const string = (stringParam: string): Choice => ({ $case: 'stringParam', stringParam });
const bool = (boolParam: boolean): Choice => ({ $case: 'boolParam', boolParam });

const encode = (parameters: Record<string, Choice>): Uint8Array => {
  const entries = Object.entries(parameters);
  return ModelInferRequest.encode(
    ModelInferRequest.fromPartial({
      parameters: new Map(entries.map(([key, parameterChoice]) => [key, { parameterChoice }])),
    }),
  ).finish();
};
const scan = (bytes: Uint8Array): Sequence | undefined =>
  scanModelCall('/inference.GRPCInferenceService/ModelInfer', bytes)?.sequence;

test('a request without sequence parameters is in no sequence', (t) => {
  t.is(scan(encode({})), undefined);
  t.is(
    scan(encode({ priority: int64(3n), sequence: int64(1n), sequence_xy: int64(1n) })),
    undefined,
  );
});

test('id, start and end are read', (t) => {
  t.deepEqual(scan(encode({ sequence_id: int64(42n), sequence_start: bool(true) })), {
    id: '42',
    isStart: true,
    isEnd: false,
  });
  t.deepEqual(scan(encode({ sequence_end: bool(true), sequence_id: string('abc') })), {
    id: '"abc"',
    isStart: false,
    isEnd: true,
  });
});

test('every number and every text is an id of its own; 0 and "" are none', (t) => {
  const special = fc.constantFrom<bigint | string>(0n, 1n, -1n, 2n ** 28n, 2n ** 56n, '', '0');
  const id = fc.oneof(
    special,
    fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
    fc.string({ unit: 'binary' }),
  );
  const check = (value: bigint | string): void => {
    const choice = typeof value === 'bigint' ? int64(value) : string(value);
    const wanted = typeof value === 'bigint' ? String(value) : `"${value}"`;
    const isNone = value === 0n || value === '';
    t.is(scan(encode({ sequence_id: choice }))?.id, isNone ? '' : wanted);
  };
  for (const value of [0n, 1n, '', '0']) check(value);
  t.notThrows(() => fc.assert(fc.property(id, check)));
});

test('a type that the parameter does not take counts as absent', (t) => {
  const uint64: Choice = { $case: 'uint64Param', uint64Param: 7n };
  const double: Choice = { $case: 'doubleParam', doubleParam: 7 };
  for (const choice of [uint64, double, bool(true)]) {
    t.is(scan(encode({ sequence_id: choice }))?.id, '');
  }
  t.is(scan(encode({ sequence_start: int64(1n) }))?.isStart, false);
});

test('of several entries, and of several choices in one, the last counts', (t) => {
  const twice = Buffer.concat([
    encode({ sequence_id: int64(1n) }),
    encode({ sequence_id: int64(2n) }),
  ]);
  t.is(scan(twice)?.id, '2');
  // One entry whose value holds int64_param 5, then uint64_param 6: the first is no longer set.
  const key = [0x0a, 11, ...Buffer.from('sequence_id')];
  const entry = [...key, 0x12, 4, 0x10, 5, 0x28, 6];
  t.is(scan(Uint8Array.of(0x22, entry.length, ...entry))?.id, '');
  const swapped = [0x12, 2, 0x10, 5, ...key];
  t.is(scan(Uint8Array.of(0x22, swapped.length, ...swapped))?.id, '5');
});

test('an id that is too long or not UTF-8 is refused, and so is an entry that is cut off', (t) => {
  const long = encode({ sequence_id: string('s'.repeat(MAX_SEQUENCE_ID_BYTES + 1)) });
  t.throws(() => scan(long), { instanceOf: StatusError, message: /more than 1024 bytes/ });
  const key = [0x0a, 11, ...Buffer.from('sequence_id')];
  for (const value of [
    [0x12, 3, 0x1a, 1, 0xff],
    [0x12, 2, 0x1a, 1],
    [0x12, 9],
  ]) {
    const entry = [...key, ...value];
    t.throws(() => scan(Uint8Array.of(0x22, entry.length, ...entry, 0)), {
      instanceOf: StatusError,
    });
  }
});
