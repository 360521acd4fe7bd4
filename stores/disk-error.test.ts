import test from 'ava';
import { Code } from '../common/status.ts';
import { diskError } from './disk-error.ts';

test('errors of the disk have codes and say what to do', (t) => {
  const expected = [
    ['ENOSPC', Code.RESOURCE_EXHAUSTED, /cannot write a blob at \/data: the disk is full/],
    ['EACCES', Code.PERMISSION_DENIED, /may not read or write/],
    ['EROFS', Code.PERMISSION_DENIED, /read-only/],
    ['EIO', Code.INTERNAL, /: EIO$/],
  ] as const;
  for (const [errno, code, message] of expected) {
    const thrown = Object.assign(new Error(`${errno}: open '/secret'`), { code: errno });
    const error = diskError(thrown, 'write a blob', '/data');
    t.is(error.code, code);
    t.regex(error.message, message);
    t.notRegex(error.message, /secret/);
  }
  t.is(diskError(Object.assign(new Error(), { code: 'ENOSPC' }), 'sync', '').message, FULL);
});

const FULL = 'cannot sync: the disk is full';
