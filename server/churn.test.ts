// A model that is loaded and unloaded by several clients at once, while others call it.
import test from 'ava';
import { Code, codeName, statusOf } from '../common/status.ts';
import { fp32 } from '../test/support/infer-requests.ts';
import { call, infer } from '../test/support/inference-client.ts';
import { serve } from '../test/support/lone-node.ts';
import { mlpModel } from '../test/support/tiny-onnx.ts';

const MODEL = 'mlp';
const X = fp32('x', [1, 16], Array(16).fill(0.5));
const CALLERS = 4;
const OPERATORS = 4;
const CYCLES = 8;
const DEADLINE_MS = 60_000;
/** What a call may meet: an answer, no such model (any more), or one that is on its way out. */
const ALLOWED: ReadonlySet<Code> = new Set([Code.NOT_FOUND, Code.UNAVAILABLE]);

test('calls meet an answer, NOT_FOUND or UNAVAILABLE, and nothing hangs', async (t) => {
  const lone = await serve(t, { [`${MODEL}/1/model.onnx`]: mlpModel() });
  const { backend } = lone.node;
  const met = new Map<string, number>();
  let isOver = false;
  const caller = async (): Promise<void> => {
    while (!isOver) {
      const told = await infer(backend, MODEL, [X], { timeoutMs: DEADLINE_MS })
        .then(() => 'OK')
        .catch((thrown: unknown) => {
          const { code, message } = statusOf(thrown);
          return ALLOWED.has(code) ? codeName(code) : `${codeName(code)}: ${message}`;
        });
      met.set(told, (met.get(told) ?? 0) + 1);
      // Answers come within a turn of the event loop, and others want theirs.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const operator = async (): Promise<void> => {
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      await call(backend, 'repositoryModelUnload', { modelName: MODEL });
      await call(backend, 'repositoryModelLoad', { modelName: MODEL });
    }
  };
  const callers = Array.from({ length: CALLERS }, caller);
  await Promise.all(Array.from({ length: OPERATORS }, operator));
  isOver = true;
  await Promise.all(callers);
  t.deepEqual(
    [...met.keys()].filter((told) => !['OK', 'NOT_FOUND', 'UNAVAILABLE'].includes(told)),
    [],
  );
  t.true((met.get('OK') ?? 0) > 0 && (met.get('NOT_FOUND') ?? 0) > 0, JSON.stringify([...met]));
  await infer(backend, MODEL, [X], { timeoutMs: DEADLINE_MS });
});
