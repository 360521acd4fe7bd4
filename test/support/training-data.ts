// The demo's data sets and small made-up ones as tables of the trainer, without a store in between.
import { readFileSync } from 'node:fs';
import type { TrainSpec } from '../../catalog/documents.ts';
import type { Column, ColumnType, Value } from '../../stores/datasets/datasets.ts';
import { type PackedBatch, packBatch } from '../../trainer/columns/packed.ts';
import { type Table, TableBuilder } from '../../trainer/columns/table.ts';

export interface Sample {
  /** The target is the last. */
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Value[])[];
}

const testdata = new URL('../testdata/', import.meta.url);

export function digits(): Sample {
  const text = readFileSync(new URL('digits/digits.csv', testdata), 'utf8').trim();
  const [header = '', ...lines] = text.split('\n');
  const columns = header.split(',').map((name) => column(name, 'INT64'));
  return { columns, rows: lines.map((line) => line.split(',').map(Number)) };
}

const PENGUIN_COLUMNS: readonly Column[] = [
  column('island', 'STRING', true),
  column('bill_length_mm', 'FLOAT64', true),
  column('bill_depth_mm', 'FLOAT64', true),
  column('flipper_length_mm', 'FLOAT64', true),
  column('body_mass_g', 'FLOAT64', true),
  column('sex', 'STRING', true),
  column('species', 'STRING', true),
];

export function penguins(): Sample {
  const text = readFileSync(new URL('penguins/penguins.json', testdata), 'utf8');
  const records = JSON.parse(text) as Record<string, Value>[];
  const rows = records.map((record) => PENGUIN_COLUMNS.map(({ name }) => record[name] ?? null));
  return { columns: PENGUIN_COLUMNS, rows };
}

export function column(name: string, type: ColumnType, isNullable = false): Column {
  return { name, type, isNullable };
}

export function featuresOf({ columns }: Sample): readonly Column[] {
  return columns.slice(0, -1);
}

export function targetOf({ columns }: Sample): Column {
  const target = columns.at(-1);
  if (target === undefined) throw new Error('a sample without columns');
  return target;
}

export function* batchesOf(sample: Sample, batchRows = 100): Generator<PackedBatch> {
  for (let start = 0; start < sample.rows.length; start += batchRows) {
    const rows = sample.rows.slice(start, start + batchRows);
    const columns = sample.columns.map((_, index) => rows.map((row) => row[index] ?? null));
    yield packBatch({ rowCount: rows.length, columns }, sample.columns);
  }
}

export function tableOf(sample: Sample): Table {
  const builder = new TableBuilder(featuresOf(sample), targetOf(sample));
  for (const batch of batchesOf(sample)) builder.add(batch);
  return builder.finish();
}

export function trainSpecOf(sample: Sample, given: Partial<TrainSpec> = {}): TrainSpec {
  return {
    kind: 'train',
    dataset: 'sample',
    datasetVersion: 0,
    target: targetOf(sample).name,
    features: [],
    algorithm: 'linear',
    model: 'sample',
    epochs: 2,
    batchSize: 32,
    learningRate: 0.01,
    hiddenUnits: [],
    heldOutRatio: 0.2,
    seed: 1,
    promotes: false,
    ...given,
  };
}
