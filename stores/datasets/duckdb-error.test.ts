import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { duckdbError, isFatal } from './duckdb-error.ts';

const PATH = '/srv/torus/data/datasets.duckdb';

test('what DuckDB says has a code and a reason, and never the place on the disk', (t) => {
  const expected: readonly (readonly [string, Code, RegExp])[] = [
    [
      `IO Error: Could not write file "${PATH}.wal": No space left on device`,
      Code.RESOURCE_EXHAUSTED,
      /^cannot append rows to data set a: the disk is full$/,
    ],
    ['Out of Memory Error: failed to pin block', Code.RESOURCE_EXHAUSTED, /more memory/],
    [`IO Error: Cannot open file "${PATH}": Permission denied`, Code.PERMISSION_DENIED, /may not/],
    [`IO Error: odd thing with ${PATH}.tmp/x`, Code.INTERNAL, /odd thing with \(the data folder\)/],
    ['FATAL Error: has been invalidated', Code.UNAVAILABLE, /try again/],
  ];
  for (const [text, code, message] of expected) {
    const error = duckdbError(new Error(text), 'append rows to data set a', PATH);
    t.is(error.code, code, text);
    t.regex(error.message, message);
    t.notRegex(error.message, /srv/);
  }
});

test('errors that are told already stay as they are; fatal ones are known', (t) => {
  const told = new StatusError(Code.ABORTED, 'told');
  t.is(duckdbError(told, 'x', PATH), told);
  t.true(isFatal(new Error('FATAL Error: the disk is gone')));
  t.false(isFatal(told));
});
