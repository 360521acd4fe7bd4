// The two models of the demo: the data that is kept in the repository, and how to train on it.
import { fileURLToPath } from 'node:url';
import { parseJsonRows, parsePlainCsv, type Rows } from './rows.ts';

export interface DemoModel {
  /** Of the data set and of the model. */
  readonly name: string;
  readonly file: string;
  readonly target: string;
  readonly epochs: string;
  readonly hidden: string;
  parse(text: string): Rows;
}

const data = (path: string): string =>
  fileURLToPath(new URL(`../../test/testdata/${path}`, import.meta.url));

export const DEMO_MODELS: readonly DemoModel[] = [
  {
    name: 'digits',
    file: data('digits/digits.csv'),
    target: 'target',
    epochs: '20',
    hidden: '64',
    parse: parsePlainCsv,
  },
  {
    name: 'penguins',
    file: data('penguins/penguins.json'),
    target: 'species',
    epochs: '60',
    hidden: '16',
    parse: parseJsonRows,
  },
];
