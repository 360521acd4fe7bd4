import test from 'ava';
import fc from 'fast-check';
import type { Tensor } from '../../common/tensor.ts';
import { signatureOf } from '../../test/support/infer-messages.ts';
import { Scatter } from '../engines/scatter.ts';
import { answerTemplate, fillAnswer } from './answer-template.ts';
import { encodeResponse } from './response.ts';

const TYPES = ['FP32', 'INT64', 'UINT8', 'FP16'] as const;
const NO_TIME = { computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 };

test('a template filled in is what the encoder writes', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...TYPES), fc.array(fc.nat(20), { maxLength: 2 })), {
        minLength: 1,
        maxLength: 3,
      }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 0, max: 3 }),
      fc.string({ maxLength: 40 }),
      fc.boolean(),
      (outputs, rows, others, id, isBackwards) => {
        const specs = outputs.map(([datatype, dims], at) => {
          return { name: `out${at}`, datatype, shape: [-1, ...dims] };
        });
        const signature = signatureOf(specs, 8);
        const choices = signature.outputs.map((output) => ({ output, classCount: 0 }));
        if (isBackwards) choices.reverse();
        const template = answerTemplate(signature, { rows, outputs: choices });
        if (template === undefined) throw new Error('no template');
        const batchRows = others + rows;
        const widths = { FP32: 4, INT64: 8, UINT8: 1, FP16: 2 };
        const whole = specs.map(({ name, datatype, shape }, at): Tensor => {
          const dims = [batchRows, ...shape.slice(1)];
          const sizeBytes = dims.reduce((size, dim) => size * dim, widths[datatype]);
          const bytes = Uint8Array.from({ length: sizeBytes }, (_, i) => i + at);
          return { name, datatype, shape: dims, bytes };
        });
        const scatter = new Scatter(whole, { ...NO_TIME, batchRows }, 0);
        if (others > 0) scatter.take({ rows: others, arrivedMs: 0 });
        scatter.take({ rows, arrivedMs: 0 });
        const filled = fillAnswer(template, scatter, Buffer.from(id));
        const tensors = scatter.tensors();
        const told = choices.flatMap(({ output }) => tensors[output.index] ?? []);
        const { model, version } = signature;
        const expected = encodeResponse({ model, version, id, outputs: told });
        if (filled === undefined || !expected.equals(filled)) throw new Error('other bytes');
      },
    ),
    { numRuns: 500 },
  );
  t.pass();
});

test('open shapes, texts, classes and reshapes have no template', (t) => {
  const of = (shape: number[], datatype: 'FP32' | 'BYTES' = 'FP32', classCount = 0) => {
    const signature = signatureOf([{ name: 'y', datatype, shape }], 8);
    const [output] = signature.outputs;
    if (output === undefined) throw new Error('one output');
    return answerTemplate(signature, { rows: 1, outputs: [{ output, classCount }] });
  };
  t.truthy(of([-1, 2]));
  t.is(of([-1, -1]), undefined);
  t.is(of([-1, 16_385]), undefined, 'more than 64 KiB of data');
  t.is(of([-1, 2 ** 40, 2 ** 40]), undefined);
  t.is(of([-1, 2], 'BYTES'), undefined);
  t.is(of([-1, 2], 'FP32', 3), undefined);
  const signature = signatureOf([{ name: 'y', datatype: 'FP32', shape: [-1, 4] }], 8);
  const outputs = signature.outputs.map((output) => {
    return { output: { ...output, reshape: [2, 2] }, classCount: 0 };
  });
  t.is(answerTemplate(signature, { rows: 1, outputs }), undefined);
});

test('a run that gives other shapes than declared, and a long id, are left to the encoder', (t) => {
  const signature = signatureOf([{ name: 'y', datatype: 'FP32', shape: [-1, 4] }], 8);
  const outputs = signature.outputs.map((output) => ({ output, classCount: 0 }));
  const template = answerTemplate(signature, { rows: 1, outputs });
  if (template === undefined) return t.fail();
  const filled = (shape: number[], id = '') => {
    const bytes = new Uint8Array(shape.reduce((size, dim) => size * dim, 4));
    const timings = { ...NO_TIME, batchRows: 1 };
    const scatter = new Scatter([{ name: 'y', datatype: 'FP32', shape, bytes }], timings, 0);
    scatter.take({ rows: 1, arrivedMs: 0 });
    return fillAnswer(template, scatter, Buffer.from(id));
  };
  t.truthy(filled([1, 4]));
  t.is(filled([1, 2, 2]), undefined);
  t.is(filled([1, 8]), undefined);
  t.truthy(filled([1, 4], 'x'.repeat(127)));
  t.is(filled([1, 4], 'x'.repeat(128)), undefined);
});
