import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { bytesText, createOutput, exitCodeOf, JobEnded, table } from './output.ts';

function captured(isJson: boolean) {
  const [out, err]: [string[], string[]] = [[], []];
  const output = createOutput(
    isJson,
    (text) => out.push(text),
    (text) => err.push(text),
  );
  return { output, out, err };
}

test('people get lines, programs get one JSON value and nothing else', (t) => {
  const people = captured(false);
  people.output.say('working');
  people.output.result({ a: 1 }, ['one', 'two']);
  t.deepEqual(people.out, ['working\n', 'one\n', 'two\n']);
  const programs = captured(true);
  programs.output.say('working');
  programs.output.result({ a: 1 }, ['one']);
  t.deepEqual(programs.out, ['{"a":1}\n']);
});

test('an error tells its text and sets the exit code of its kind', (t) => {
  const { output, err } = captured(false);
  t.is(output.error(new StatusError(Code.UNAVAILABLE, 'nobody answers')), 69);
  t.is(output.error(new StatusError(Code.INVALID_ARGUMENT, '--epochs: must be')), 64);
  t.is(output.error(new Error('boom')), 1);
  t.deepEqual(err, ['torus: nobody answers\n', 'torus: --epochs: must be\n', 'torus: boom\n']);
  t.is(exitCodeOf(new StatusError(Code.NOT_FOUND, '')), 1);
  const programs = captured(true);
  programs.output.error(new StatusError(Code.NOT_FOUND, 'no model'));
  t.deepEqual(programs.err, ['{"error":"no model","code":"NOT_FOUND"}\n']);
});

test('tables align text to the left and numbers to the right', (t) => {
  t.deepEqual(
    table(
      ['MODEL', 'ROWS'],
      [
        ['a', '5'],
        ['long-name', '1,797'],
      ],
    ),
    ['MODEL       ROWS', 'a              5', 'long-name  1,797'],
  );
});

test('sizes are told in the unit that fits', (t) => {
  t.deepEqual([0, 1023, 1536, 5 * 1024 ** 3].map(bytesText), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '5.0 GiB',
  ]);
});

test('a job that failed is told with its own code, but is no wrong usage of ours', (t) => {
  const { output, err } = captured(true);
  t.is(output.error(new JobEnded(Code.INVALID_ARGUMENT, 'job j failed: no column')), 1);
  t.deepEqual(err, ['{"error":"job j failed: no column","code":"INVALID_ARGUMENT"}\n']);
});

test('what anybody may have named moves no cursor', (t) => {
  const { output, out, err } = captured(false);
  output.say('a\u001b[2J\u0000b\tc');
  output.error(new Error('x\u001b]0;owned\u0007'));
  t.deepEqual([...out, ...err], ['a\\u001b[2J\\u0000b\tc\n', 'torus: x\\u001b]0;owned\\u0007\n']);
});
