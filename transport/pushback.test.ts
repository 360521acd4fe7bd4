import test from 'ava';
import { Overloaded, unavailable } from '../common/status.ts';
import { NO_METADATA } from './backend.ts';
import { pushbackOf, RETRY_PUSHBACK } from './pushback.ts';

test('an overload tells when to come again, other errors tell nothing', (t) => {
  t.deepEqual(pushbackOf(new Overloaded('busy', 250)), [[RETRY_PUSHBACK, '250']]);
  t.is(pushbackOf(unavailable('busy')), NO_METADATA);
});
