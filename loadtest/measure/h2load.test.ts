import test from 'ava';
import { parseReport, percentile } from './h2load.ts';

const REPORT = `starting benchmark...
TLS Protocol: TLSv1.3
finished in 509.91ms, 58834.26 req/s, 6.51MB/s
requests: 30000 total, 30000 started, 30000 done, 30000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 30000 2xx, 0 3xx, 0 4xx, 0 5xx
                     min         max         mean         sd        +/- sd
time for request:       75us      5.52ms      1.05ms       200us    78.11%
`;

test('the figures of a report are read', (t) => {
  const { succeeded, seconds, meanUs, tlsVersion } = parseReport(REPORT);
  t.deepEqual([succeeded, seconds, meanUs, tlsVersion], [30_000, 0.50991, 1_050, 'TLSv1.3']);
});

test('with a call that failed, or was answered by another status, none count', (t) => {
  t.is(parseReport(REPORT.replace('0 errored', '1 errored')).succeeded, 0);
  t.is(parseReport(REPORT.replace('30000 2xx, 0 3xx', '29999 2xx, 1 3xx')).succeeded, 0);
  t.is(parseReport('').succeeded, 0);
});

test('percentiles are of what was measured', (t) => {
  t.is(percentile([1, 2, 3, 4], 0.5), 3);
  t.is(percentile([1, 2, 3, 4], 0.99), 4);
  t.is(percentile([], 0.5), Number.NaN);
});
