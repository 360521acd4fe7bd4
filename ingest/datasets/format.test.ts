import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { detectFormat } from './format.ts';

const head = (text: string, encoding: BufferEncoding = 'utf8') => Buffer.from(text, encoding);

test('the name tells the format, or what is declared, or the first bytes', (t) => {
  t.is(detectFormat('a.csv', head('a,b\n')), 'csv');
  t.is(detectFormat('A.CSV', head('{"a":1}')), 'csv');
  t.is(detectFormat('dir.v2/a.tsv', head('a\tb\n')), 'csv');
  t.is(detectFormat('a.json', head('[{}]')), 'json');
  t.is(detectFormat('a.ndjson', head('{}')), 'jsonl');
  t.is(detectFormat('a.parquet', head('PAR1')), 'parquet');
  t.is(detectFormat('a.json', head('{}'), 'jsonl'), 'jsonl');
  t.is(detectFormat('upload', head('\ufeff \n[{}]')), 'json');
  t.is(detectFormat('upload', head('{"a":1}')), 'jsonl');
  t.is(detectFormat('upload', head('PAR1')), 'parquet');
  t.is(detectFormat('upload', head('a,b')), 'csv');
  t.is(detectFormat('upload.data', head('')), 'csv');
});

test('what can not be read is refused with what to do', (t) => {
  const refused = (name: string, bytes: Uint8Array) =>
    t.throws(() => detectFormat(name, bytes), {
      instanceOf: StatusError,
      code: Code.INVALID_ARGUMENT,
    })?.message ?? '';
  t.regex(refused('a.csv.gz', head('1f8b08', 'hex')), /gzip: unpack/);
  t.regex(refused('a.xlsx', head('504b030414', 'hex')), /spreadsheet.*CSV/);
  t.regex(refused('a.csv', head('\ufeffa,b', 'utf16le')), /UTF-16.*UTF-8/);
  t.regex(refused('a.csv', head('a,b\0c')), /is no text/);
  t.regex(refused('a.parquet', head('a,b')), /no Parquet file/);
  t.regex(refused('a.csv', head('PAR1')), /is a Parquet file, not csv/);
});
