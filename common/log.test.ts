import test from 'ava';
import { createLog } from './log.ts';

test('secrets are blanked, at the top and one level down', (t) => {
  const lines: string[] = [];
  const log = createLog({
    role: 'node',
    level: 'info',
    destination: { write: (line: string) => lines.push(line) },
  });
  log.info({ token: 'abc', tls: { privateKey: 'xyz' }, model: 'digits' }, 'loaded');
  const line = JSON.parse(lines[0] ?? '{}') as Record<string, unknown>;
  t.is(line.token, '[hidden]');
  t.deepEqual(line.tls, { privateKey: '[hidden]' });
  t.is(line.model, 'digits');
  t.is(line.role, 'node');
  t.is(line.level, 'info');
});

test('the roles of one process each say theirs, once', (t) => {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line) };
  const log = createLog({ level: 'info', destination });
  log.child({ role: 'router' }).info('first');
  log.child({ role: 'node', node: 'n1' }).info('second');
  t.deepEqual(
    lines.map((line) => line.match(/"role":"\w+"/g)),
    [['"role":"router"'], ['"role":"node"']],
  );
  t.false(lines.join().includes('hostname'));
});

test('lines below the level are not written', (t) => {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line) };
  createLog({ role: 'node', level: 'warn', destination }).info('quiet');
  t.deepEqual(lines, []);
});
