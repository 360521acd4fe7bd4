// Server-sent events (HTML standard, 9.2) of a call that streams: a `data:` line for each message,
// a comment now and then while nothing happens, an `event: failure` when it breaks.
import { answerOf } from './http-error.ts';
import type { PrintableJson } from './message-json.ts';

export const EVENT_STREAM_TYPE = 'text/event-stream; charset=utf-8';

const HEARTBEAT = ': still there\n\n';

function event(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

type Step = IteratorResult<PrintableJson> | 'silence';

/**
 * The text of the stream. Its messages are asked for one at a time, as the client takes them.
 * @param first the message that was taken already, to see whether the call works at all
 */
export async function* eventText(
  first: PrintableJson,
  rest: AsyncIterator<PrintableJson>,
  heartbeatMs: number,
): AsyncGenerator<string> {
  yield event(first);
  try {
    let pending = rest.next();
    for (;;) {
      const step = await orSilence(pending, heartbeatMs);
      if (step === 'silence') {
        yield HEARTBEAT;
        continue;
      }
      if (step.done === true) return;
      yield event(step.value);
      pending = rest.next();
    }
  } catch (thrown) {
    yield `event: failure\n${event(answerOf(thrown).body)}`;
  } finally {
    await rest.return?.();
  }
}

async function orSilence(
  pending: Promise<IteratorResult<PrintableJson>>,
  heartbeatMs: number,
): Promise<Step> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<Step>((resolve) => {
    timer = setTimeout(() => resolve('silence'), heartbeatMs);
  });
  try {
    return await Promise.race([pending, silence]);
  } finally {
    clearTimeout(timer);
  }
}
