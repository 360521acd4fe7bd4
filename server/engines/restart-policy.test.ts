import test from 'ava';
import { MAX_ENDS_IN_A_ROW, RestartPolicy } from './restart-policy.ts';

test('each end in a row waits twice as long, then no more; a run starts it again', (t) => {
  const policy = new RestartPolicy();
  t.deepEqual([policy.ended(), policy.ended(), policy.ended()], [100, 200, 400]);
  policy.ran();
  const delays = Array.from({ length: MAX_ENDS_IN_A_ROW }, () => policy.ended());
  t.deepEqual(delays, [100, 200, 400, 800, undefined]);
});
