import test from 'ava';
import { startProgress } from './progress.ts';

function stream() {
  const lines: string[] = [];
  const target = { isTTY: false, write: (text: string) => lines.push(text) > 0 };
  return { lines, stream: target as unknown as NodeJS.WriteStream };
}

test('off a terminal: a line at the start, at each quarter and at the end', (t) => {
  const { lines, stream: target } = stream();
  const progress = startProgress('import', { stream: target, isQuiet: false });
  for (let step = 0; step <= 100; step += 1) progress.update(step / 100, `${step} rows`);
  progress.stop();
  t.deepEqual(lines, [
    'import 0% 0 rows\n',
    'import 25% 25 rows\n',
    'import 50% 50 rows\n',
    'import 75% 75 rows\n',
    'import 100% 100 rows\n',
  ]);
});

test('quiet: nothing at all', (t) => {
  const { lines, stream: target } = stream();
  const progress = startProgress('import', { stream: target, isQuiet: true });
  progress.update(0.5, 'x');
  progress.stop();
  t.deepEqual(lines, []);
});
