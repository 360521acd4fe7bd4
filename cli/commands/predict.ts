// torus predict: one call from the command line, in the columns a person knows. The model's
// metadata says which tensors they make.
import { readFile } from 'node:fs/promises';
import { text as textOf } from 'node:stream/consumers';
import type { Command } from 'commander';
import { z } from 'zod';
import { invalidArgument } from '../../common/status.ts';
import { diskError } from '../../stores/disk-error.ts';
import { table } from '../client/output.ts';
import { type CommandContext, clientCommand, segment, versionOf } from './context.ts';

const EXAMPLES = `
Examples:
  torus predict penguins '{"island": "Biscoe", "bill_length_mm": 50, "bill_depth_mm": 15,
      "flipper_length_mm": 220, "body_mass_g": 5000, "sex": null}'
  torus predict digits '[[0,0,5,13,9,1,0,0, ...]]'          rows of the one input
  torus predict digits --file request.json                an Open Inference Protocol request

The names of the inputs: torus model show <model>
`;

const metadataSchema = z.object({
  inputs: z.array(
    z.object({
      name: z.string(),
      datatype: z.string(),
      shape: z.array(z.coerce.number()),
    }),
  ),
});
type Inputs = z.infer<typeof metadataSchema>['inputs'];

const answerSchema = z.object({
  model_name: z.string(),
  model_version: z.string().optional(),
  outputs: z.array(
    z.object({
      name: z.string(),
      datatype: z.string(),
      shape: z.array(z.coerce.number()),
      data: z.array(z.unknown()).default([]),
    }),
  ),
});
export type InferAnswer = z.infer<typeof answerSchema>;

/** A missing value: what a model trained here reads as one. */
function missing(datatype: string): unknown {
  if (datatype === 'BYTES') return '';
  if (datatype.startsWith('FP')) return 'NaN';
  throw invalidArgument(`an input of type ${datatype} can't be null`);
}

/** A text column takes what a person writes for it: true, 7. */
function cell(value: unknown, datatype: string): unknown {
  const isPlain = typeof value === 'boolean' || typeof value === 'number';
  return datatype === 'BYTES' && isPlain ? String(value) : value;
}

/**
 * An OIP infer body from: that body itself, one row or a list of rows as objects (a key for each
 * input), or, for a model with one input, one row as a list or the rows as a list of lists.
 */
export function inferBody(given: unknown, inputs: Inputs): Record<string, unknown> {
  if (isObject(given) && Array.isArray(given.inputs)) return given;
  const isRow = Array.isArray(given) && given.length > 0 && !given.some(isComposed);
  const rows = Array.isArray(given) && !isRow ? given : [given];
  if (rows.length === 0) throw invalidArgument('no rows: give at least one');
  if (rows.every(Array.isArray)) return { inputs: [vectorInput(rows as unknown[][], inputs)] };
  if (!rows.every(isObject)) {
    throw invalidArgument('give one row as an object, or a list of objects, or a list of lists');
  }
  return { inputs: inputs.map((input) => columnInput(rows, input, inputs)) };
}

function isComposed(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function vectorInput(rows: readonly unknown[][], inputs: Inputs): Record<string, unknown> {
  const input = inputs[0];
  if (input === undefined || inputs.length > 1) {
    const names = inputs.map((one) => one.name).join(', ');
    throw invalidArgument(`the model has ${inputs.length} inputs: give objects with ${names}`);
  }
  const width = rows[0]?.length ?? 0;
  const inner = input.shape.slice(1);
  const shape = inner.length > 1 && !inner.includes(-1) ? inner : [width];
  return {
    name: input.name,
    datatype: input.datatype,
    shape: [rows.length, ...shape],
    data: rows.flat(),
  };
}

function columnInput(
  rows: readonly Record<string, unknown>[],
  input: Inputs[number],
  inputs: Inputs,
): Record<string, unknown> {
  const values = rows.map((row) => {
    const value = row[input.name];
    if (value === undefined) {
      const keys = Object.keys(row).join(', ') || 'nothing';
      const names = inputs.map(({ name }) => name).join(', ');
      throw invalidArgument(
        `input '${input.name}' is missing: a row needs ${names} (null where a value is missing) ` +
          `and has ${keys}`,
      );
    }
    if (value === null) return missing(input.datatype);
    return Array.isArray(value)
      ? value.map((one) => cell(one, input.datatype))
      : cell(value, input.datatype);
  });
  const data = values.flat();
  return {
    name: input.name,
    datatype: input.datatype,
    shape: [rows.length, data.length / rows.length],
    data,
  };
}

/** A row of cells for each row of the batch: label as it is, vectors rounded. */
export function answerTable(answer: InferAnswer): string[] {
  const head = answer.outputs.map((output) => output.name);
  const rows: string[][] = [];
  const count = answer.outputs[0]?.shape[0] ?? 1;
  for (let row = 0; row < count; row += 1) {
    rows.push(
      answer.outputs.map((output) => {
        const width = output.data.length / count;
        const cells = output.data.slice(row * width, (row + 1) * width);
        return cells.map(cellText).join(' ');
      }),
    );
  }
  return table(head, rows);
}

function cellText(value: unknown): string {
  return typeof value === 'number' ? String(Number(value.toPrecision(4))) : String(value);
}

async function predict(
  context: CommandContext,
  model: string,
  version: string,
  text: string,
): Promise<void> {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw invalidArgument(`the rows are not JSON: ${why}`);
  }
  const base = `/v2/models/${segment(model)}${version === '' ? '' : `/versions/${version}`}`;
  const { inputs } = metadataSchema.parse(await context.client.call('GET', base));
  const body = inferBody(given, inputs);
  const answer = answerSchema.parse(await context.client.call('POST', `${base}/infer`, body));
  context.output.result(answer, answerTable(answer));
}

export function predictCommand(parent: Command): void {
  const command = parent
    .command('predict <model> [rows]')
    .description('call a model with rows given as JSON')
    .option('--file <file>', "read the JSON from a file, '-' for standard input")
    .option('--version <number>', 'a version that is loaded (default: the serving one)')
    .addHelpText('after', EXAMPLES);
  clientCommand(command, async (context, { args }) => {
    const { file, version } = command.opts<{ file?: string; version?: string }>();
    const text = file === undefined ? args[1] : await contentOf(file);
    if (text === undefined) throw invalidArgument('no rows: give them as JSON, or with --file');
    const number = version === undefined ? '' : versionOf(version);
    await predict(context, args[0] ?? '', number, text);
  });
}

async function contentOf(file: string): Promise<string> {
  if (file === '-') return await textOf(process.stdin);
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw diskError(cause, 'read the file', file);
  }
}
