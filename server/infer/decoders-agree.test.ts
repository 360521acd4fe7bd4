// The decoder that finds a request's tensors against the generated one, on whole messages, several
// behind each other, with unknown fields anywhere, cut short, and with bytes changed: what ours
// takes means the same to both, and what the other refuses ours refuses too.
import { isDeepStrictEqual } from 'node:util';
import test from 'ava';
import fc from 'fast-check';
import { invalidArgument, StatusError } from '../../common/status.ts';
import {
  type InferParameter,
  InferTensorContents,
  ModelInferRequest,
} from '../../proto/gen/inference/grpc_service.ts';
import { input, type Part } from '../../test/support/infer-messages.ts';
import { decodeRequest, type Parameters } from './request.ts';

const name = fc.oneof(fc.constantFrom('', 'x', 'ü'), fc.string({ unit: 'binary', maxLength: 6 }));
const int64 = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n);
const uint64 = fc.bigInt(0n, 2n ** 64n - 1n);

const parameters = fc
  .array(
    fc.tuple(
      name,
      fc.oneof(
        fc.boolean().map((boolParam) => ({ $case: 'boolParam' as const, boolParam })),
        int64.map((int64Param) => ({ $case: 'int64Param' as const, int64Param })),
        uint64.map((uint64Param) => ({ $case: 'uint64Param' as const, uint64Param })),
        name.map((stringParam) => ({ $case: 'stringParam' as const, stringParam })),
        fc.double().map((doubleParam) => ({ $case: 'doubleParam' as const, doubleParam })),
      ),
    ),
    { maxLength: 3 },
  )
  .map((all) => new Map(all.map(([key, parameterChoice]) => [key, { parameterChoice }])));

const few = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(item, { maxLength: 3 });

type Contents = Partial<InferTensorContents>;

const typed: fc.Arbitrary<Contents> = fc.record(
  {
    boolContents: few(fc.boolean()),
    intContents: few(fc.integer()),
    int64Contents: few(int64),
    uintContents: few(fc.nat()),
    uint64Contents: few(uint64),
    fp32Contents: few(fc.float()),
    fp64Contents: few(fc.double()),
    bytesContents: few(fc.uint8Array({ maxLength: 5 }).map((bytes) => Buffer.from(bytes))),
  },
  { requiredKeys: [] },
);

const inputsWith = (contents: fc.Arbitrary<Contents | undefined>) =>
  few(
    fc
      .record({
        tensor: fc.tuple(name, name, fc.array(fc.integer(), { maxLength: 4 })),
        contents,
        parameters,
      })
      .map((one) => ({
        ...input(one.tensor[0], one.tensor[1], one.tensor[2], one.contents),
        parameters: one.parameters,
      })),
  );

const messagesWith = (contents: fc.Arbitrary<Contents | undefined>) =>
  fc
    .record({
      modelName: name,
      modelVersion: name,
      id: name,
      parameters,
      inputs: inputsWith(contents),
      outputs: few(fc.record({ name, parameters })),
      rawInputContents: few(fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))),
    })
    .map((part: Part) =>
      Buffer.from(ModelInferRequest.encode(ModelInferRequest.fromPartial(part)).finish()),
    );

/** Fields that the message does not have, of each wire type. */
const unknownField = fc.constantFrom(
  Buffer.from([0x98, 0x06, 0x96, 0x01]),
  Buffer.from([0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8]),
  Buffer.from([0x9a, 0x06, 2, 0xff, 0xff]),
  Buffer.from([0x9d, 0x06, 1, 2, 3, 4]),
  Buffer.from([0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06]),
);

const requestsWith = (contents: fc.Arbitrary<Contents | undefined>) =>
  fc
    .array(fc.oneof(messagesWith(contents), unknownField), { minLength: 1, maxLength: 4 })
    .map((parts) => Buffer.concat(parts));

const whole = requestsWith(fc.option(typed, { nil: undefined }));
/**
 * Typed contents are read later (contents.ts), within their own end; the generated decoder lets
 * broken ones run into what follows them.
 */
const wholeWithoutContents = requestsWith(fc.constant(undefined));

type View = readonly unknown[];

function viewOfOurs(bytes: Buffer, contentsOf = viewOfEncoded): View {
  const read = decodeRequest(bytes);
  const known = (all: Parameters): View =>
    [...all].map(([key, { kind, value }]) => [key, `${kind}Param`, value]);
  return [
    [read.modelName, read.modelVersion, read.id, known(read.parameters)],
    read.inputs.map((one) => [
      [one.name, one.datatype, one.shape, known(one.parameters)],
      one.contents === undefined ? undefined : contentsOf(one.contents),
    ]),
    read.outputs.map((one) => [one.name, known(one.parameters)]),
    read.raw.map((one) => [...(typeof one === 'function' ? one() : one)]),
  ];
}

function viewOfEncoded(contents: Buffer): View {
  return viewOfContents(InferTensorContents.decode(contents));
}

/** Where there are none, but for what a changed byte has made of something else. */
function refused(): View {
  throw invalidArgument('contents');
}

function viewOfContents(read: InferTensorContents): View {
  return [...InferTensorContents.encode(read).finish()];
}

/** As RequestInput.shape has it. */
function dimension(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) return Number.POSITIVE_INFINITY;
  if (value < BigInt(Number.MIN_SAFE_INTEGER)) return Number.NEGATIVE_INFINITY;
  return Number(value);
}

function viewOfTheirs(bytes: Buffer): View {
  const read = ModelInferRequest.decode(bytes);
  const known = (all: ReadonlyMap<string, InferParameter>): View =>
    [...all].map(([key, { parameterChoice: choice }]) => [
      key,
      choice?.$case,
      Object.entries(choice ?? {}).find(([field]) => field !== '$case')?.[1],
    ]);
  return [
    [read.modelName, read.modelVersion, read.id, known(read.parameters)],
    read.inputs.map((one) => [
      [one.name, one.datatype, one.shape.map(dimension), known(one.parameters)],
      one.contents === undefined ? undefined : viewOfContents(one.contents),
    ]),
    read.outputs.map((one) => [one.name, known(one.parameters)]),
    read.rawInputContents.map((one) => [...one]),
  ];
}

function attempt(read: () => View): View | Error {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof Error) return thrown;
    throw thrown;
  }
}

/** Quicker than t.deepEqual. */
function mustBeSame(ours: View, theirs: View | Error, bytes: Buffer): void {
  if (isDeepStrictEqual(ours, theirs)) return;
  throw new Error(`${bytes.toString('hex')}: ours ${ours}, theirs ${theirs}`);
}

test('whole messages, in parts and with unknown fields, mean the same to both decoders', (t) => {
  fc.assert(
    fc.property(whole, (bytes) => {
      mustBeSame(viewOfOurs(bytes), viewOfTheirs(bytes), bytes);
    }),
    { numRuns: 500 },
  );
  t.pass();
});

test('what is cut or changed means the same to both, or is refused', (t) => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 });
  const counts = { same: 0, refused: 0, stricter: 0 };
  fc.assert(
    fc.property(
      wholeWithoutContents,
      damage,
      fc.option(fc.nat(), { nil: undefined }),
      (sound, changes, cut) => {
        const bytes = Buffer.from(
          cut === undefined ? sound : sound.subarray(0, cut % (sound.length + 1)),
        );
        for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
        const [ours, theirs] = [
          attempt(() => viewOfOurs(bytes, refused)),
          attempt(() => viewOfTheirs(bytes)),
        ];
        if (ours instanceof Error) {
          t.true(ours instanceof StatusError, ours.stack);
          if (theirs instanceof Error) counts.refused += 1;
          else counts.stricter += 1;
          return;
        }
        counts.same += 1;
        mustBeSame(ours, theirs, bytes);
      },
    ),
    { numRuns: 3000 },
  );
  t.true(counts.same > 300 && counts.refused > 300, JSON.stringify(counts));
});
