import test from 'ava';
import { createLog } from '../../common/log.ts';
import { Closers } from './closers.ts';

test('what was started is stopped in reverse, once, whatever fails', async (t) => {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line) };
  const closers = new Closers(createLog({ role: 'up', level: 'error', destination }));
  const ran: string[] = [];
  closers.add('stores', () => void ran.push('stores'));
  closers.add('control', () => Promise.reject(new Error('stuck')));
  closers.add('gateway', async () => void ran.push('gateway'));
  await closers.close();
  await closers.close();
  t.deepEqual(ran, ['gateway', 'stores']);
  t.is(lines.length, 1);
  t.regex(lines[0] ?? '', /"step":"control"/);
});
