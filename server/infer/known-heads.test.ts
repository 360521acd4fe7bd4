import test from 'ava';
import fc from 'fast-check';
import { StatusError } from '../../common/status.ts';
import { elementSizeBytes } from '../../common/tensor.ts';
import { encode, input, signatureOf } from '../../test/support/infer-messages.ts';
import { type CheckedRequest, checkRequest } from './check.ts';
import { KnownHeads } from './known-heads.ts';
import { decodeRequest } from './request.ts';

const TYPES = ['FP32', 'INT64', 'UINT8', 'BOOL', 'BYTES'] as const;
const SPECS = TYPES.map((datatype, at) => ({ name: `in${at}`, datatype, shape: [-1, 2] }));
const served = { signature: signatureOf(SPECS.slice(0, 3), 8), name: 'three' };
const withText = { signature: signatureOf(SPECS, 8), name: 'five' };

interface Sample {
  readonly of: typeof served;
  readonly bytes: Uint8Array;
}

/** Fields that the protocol does not have: skipped by the decoder wherever they stand. */
const unknownField = fc.constantFrom(
  Uint8Array.of(0x98, 0x06, 0x05),
  Uint8Array.of(0x7a, 0x02, 1, 2),
  Uint8Array.of(0x3d, 1, 2, 3, 4),
);

const samples: fc.Arbitrary<Sample> = fc
  .record({
    of: fc.constantFrom(served, served, withText),
    id: fc.oneof(fc.constant(''), fc.string({ maxLength: 6 }), fc.string({ minLength: 126 })),
    rows: fc.integer({ min: 1, max: 3 }),
    isBackwards: fc.boolean(),
    asks: fc.boolean(),
    timeoutUs: fc.option(fc.constant(5n), { nil: undefined }),
    typed: fc.constantFrom(true, false, false, false),
    seed: fc.nat(255),
    unknown: fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.tuple(unknownField, fc.boolean()) },
    ),
  })
  .map(({ of, id, rows, isBackwards, asks, timeoutUs, typed, seed, unknown }) => {
    const inputs = of.signature.inputs.map(({ spec: { name, datatype } }, at) => {
      const count = rows * 2;
      const raw =
        datatype === 'BYTES'
          ? Uint8Array.from({ length: count * 5 }, (_, i) => (i % 5 === 0 ? 1 : i % 5 < 4 ? 0 : 65))
          : new Uint8Array(count * elementSizeBytes(datatype)).fill(seed + at);
      return { tensor: input(name, datatype, [rows, 2]), raw };
    });
    if (isBackwards) inputs.reverse();
    const message = encode({
      id,
      inputs: inputs.map(({ tensor }) => tensor),
      outputs: asks ? [{ name: 'in1', parameters: new Map() }] : [],
      parameters: new Map(
        timeoutUs === undefined
          ? []
          : [['timeout', { parameterChoice: { $case: 'int64Param', int64Param: timeoutUs } }]],
      ),
      rawInputContents: typed ? [] : inputs.map(({ raw }) => raw),
    });
    const [field, isFirst] = unknown ?? [new Uint8Array(0), true];
    return { of, bytes: Buffer.concat(isFirst ? [field, message] : [message, field]) };
  });

function decoded({ of, bytes }: Sample): { checked: CheckedRequest; id: string } | undefined {
  try {
    const raw = decodeRequest(bytes);
    return { checked: checkRequest(raw, of.signature), id: raw.id };
  } catch (error) {
    if (error instanceof StatusError) return undefined;
    throw error;
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** @throws where what was recognised is not what decoding gives. */
function mustAgree(known: KnownHeads<typeof served>, sample: Sample): 'found' | 'not known' {
  const { bytes } = sample;
  const found = known.find(bytes, 1);
  if (found === undefined) return 'not known';
  const expected = decoded(sample);
  if (expected === undefined) throw new Error('recognised what can not be decoded');
  const inputs = known.inputs(found, bytes).map((one) => ({ ...one, bytes: [...one.bytes] }));
  const { id, checked } = expected;
  const theirs = checked.inputs.map((one) => ({ ...one, bytes: [...one.bytes] }));
  if (!same(inputs, theirs)) throw new Error('other inputs');
  if (Buffer.from(known.id(bytes)).toString() !== id) throw new Error('another id');
  if (!same({ ...found.checked, inputs: [] }, { ...checked, inputs: [] })) throw new Error('other');
  if (found.served !== sample.of) throw new Error('another model');
  return 'found';
}

test('what is recognised is what decoding gives; regular requests are recognised', (t) => {
  let found = 0;
  fc.assert(
    fc.property(fc.array(samples, { minLength: 1, maxLength: 20 }), (list) => {
      // One model at a time: names are the same in both.
      for (const model of [served, withText]) {
        const known = new KnownHeads<typeof served>();
        for (const sample of list.filter((one) => one.of === model)) {
          const before = mustAgree(known, sample);
          const checked = decoded(sample)?.checked;
          if (checked === undefined) continue;
          if (before === 'not known') known.learn(sample.bytes, checked, model);
          if (mustAgree(known, sample) === 'found') found += 1;
        }
      }
    }),
    { numRuns: 150 },
  );
  t.true(found > 100, `${found}`);
});

test('a damaged or cut copy of a known request is not taken for it', (t) => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 });
  let found = 0;
  fc.assert(
    fc.property(samples, damage, fc.constantFrom(0, 0, 0, 1, 9), (sample, changes, cut) => {
      const known = new KnownHeads<typeof served>();
      const checked = decoded(sample)?.checked;
      if (checked === undefined) return;
      known.find(sample.bytes, 1);
      known.learn(sample.bytes, checked, sample.of);
      const bytes = Buffer.from(sample.bytes.subarray(0, sample.bytes.length - cut));
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      if (mustAgree(known, { of: sample.of, bytes }) === 'found') found += 1;
    }),
    { numRuns: 2000 },
  );
  t.true(found > 50, 'where only data or id were changed');
});

const plain = (part: { id?: string; rows?: number; name?: string } = {}): Uint8Array => {
  const { id = '', rows = 1, name = 'M' } = part;
  const inputs = served.signature.inputs.map(({ spec }) =>
    input(spec.name, spec.datatype, [rows, 2]),
  );
  const sizes = [8, 16, 2].map((size) => size * rows);
  const rawInputContents = sizes.map((size) => new Uint8Array(size));
  return encode({ modelName: name, id, inputs, rawInputContents });
};

function learn(known: KnownHeads<typeof served>, bytes: Uint8Array): void {
  const checked = decoded({ of: served, bytes })?.checked;
  if (checked !== undefined) known.learn(bytes, checked, served);
}

test('ids differ, heads do not; an id that is no plain text is left to the decoder', (t) => {
  const known = new KnownHeads<typeof served>();
  t.is(known.find(plain({ id: 'a' }), 1), undefined);
  learn(known, plain({ id: 'a' }));
  t.truthy(known.find(plain({ id: 'another' }), 1));
  t.is(Buffer.from(known.id(plain({ id: 'another' }))).toString(), 'another');
  t.is(known.find(plain(), 1), undefined, 'without an id it is another head');
  t.is(known.find(plain({ id: 'é' }), 1), undefined);
  t.is(known.find(plain({ id: 'x'.repeat(128) }), 1), undefined);
});

test('after a change of the table nothing is known', (t) => {
  const known = new KnownHeads<typeof served>();
  known.find(plain(), 1);
  learn(known, plain());
  t.truthy(known.find(plain(), 1));
  t.is(known.find(plain(), 2), undefined);
  t.is(known.find(plain(), 1), undefined);
});

test('the heads that are kept have a limit; those in use stay', (t) => {
  const known = new KnownHeads<typeof served>();
  const used = plain({ rows: 1 });
  known.find(used, 1);
  learn(known, used);
  // Alike in the bytes that choose the bucket.
  const variant = (at: number): Uint8Array => {
    const parameters = new Map([
      [`p${at}`, { parameterChoice: { $case: 'boolParam' as const, boolParam: true } }],
    ]);
    const inputs = served.signature.inputs.map(({ spec }) =>
      input(spec.name, spec.datatype, [1, 2]),
    );
    const rawInputContents = [8, 16, 2].map((size) => new Uint8Array(size));
    return encode({ modelName: 'M'.repeat(30), inputs, parameters, rawInputContents });
  };
  for (let at = 0; at < 40; at += 1) learn(known, variant(at));
  const kept = Array.from({ length: 40 }, (_, at) => known.find(variant(at), 1));
  t.is(kept.filter((head) => head !== undefined).length, 16);
  t.truthy(known.find(variant(39), 1));
  t.is(known.find(variant(0), 1), undefined);
  t.truthy(known.find(used, 1), 'another bucket');
});
