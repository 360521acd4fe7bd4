import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { parseS3Address } from './s3-address.ts';

test('an address is taken apart', (t) => {
  t.deepEqual(parseS3Address('s3://models'), {
    bucket: 'models',
    prefix: '',
    isPathStyle: false,
    shown: 's3://models/',
  });
  const own = 's3://models/a/b/?endpoint=http://127.0.0.1:9000&region=eu-central-1';
  t.deepEqual(parseS3Address(own), {
    bucket: 'models',
    prefix: 'a/b/',
    endpoint: 'http://127.0.0.1:9000',
    region: 'eu-central-1',
    isPathStyle: true,
    shown: 's3://models/a/b (http://127.0.0.1:9000)',
  });
  t.false(parseS3Address(`${own}&path-style=false`).isPathStyle);
});

test('what cannot be read is refused without repeating it', (t) => {
  const bad = [
    's3:',
    's3://',
    's3://UP_CASE',
    's3://key:hidden@models',
    's3://models:9000',
    's3://models/%00hidden',
    's3://models?endpoint=hidden',
    's3://models?endpoint=http://me:hidden@host',
    's3://models?path-style=hidden',
    's3://models?secret=hidden',
    'http://hidden',
  ];
  for (const address of bad) {
    const error = t.throws(() => parseS3Address(address), undefined, address);
    t.true(error instanceof StatusError && error.code === Code.INVALID_ARGUMENT, address);
    t.notRegex(error.message, /hidden/, address);
  }
});
