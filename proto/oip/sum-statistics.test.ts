import test from 'ava';
import { InferResponseStatistics, ModelStatistics } from '../gen/inference/grpc_service.ts';
import { sumStatistics } from './sum-statistics.ts';

const one = (name: string, version: string, count: bigint, batchSize: bigint): ModelStatistics =>
  ModelStatistics.fromPartial({
    name,
    version,
    lastInference: count * 10n,
    inferenceCount: count,
    executionCount: count,
    inferenceStats: { success: { count, ns: count * 100n } },
    batchStats: [{ batchSize, computeInfer: { count, ns: count } }],
    responseStats: new Map([['0', InferResponseStatistics.fromPartial({ success: { count } })]]),
  });

test('copies of one version are summed, versions stay apart and in order', (t) => {
  const sums = sumStatistics([
    one('m', '10', 1n, 1n),
    one('m', '2', 2n, 1n),
    one('a', '1', 4n, 1n),
    one('m', '10', 8n, 1n),
    one('m', '10', 16n, 4n),
  ]);
  t.deepEqual(
    sums.map(({ name, version, inferenceCount }) => [name, version, inferenceCount]),
    [
      ['a', '1', 4n],
      ['m', '2', 2n],
      ['m', '10', 25n],
    ],
  );
  const sum = sums[2];
  t.is(sum?.lastInference, 160n);
  t.deepEqual(sum?.inferenceStats?.success, { count: 25n, ns: 2500n });
  t.is(sum?.inferenceStats?.fail, undefined);
  t.deepEqual(
    sum?.batchStats.map(({ batchSize, computeInfer }) => [batchSize, computeInfer?.count]),
    [
      [1n, 9n],
      [4n, 16n],
    ],
  );
  t.is(sum?.responseStats.get('0')?.success?.count, 25n);
});
