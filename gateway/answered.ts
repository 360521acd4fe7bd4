// The end of a request: its answer is out, or its client has gone. Many want to know; the response
// gets one listener for all of them.
import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

type Callback = (isAnswered: boolean) => void;

const waiting = new WeakMap<ServerResponse, Callback[]>();

/**
 * Calls back once, at once if it is over already.
 * @param callback is told false when the client went away before it had the whole answer
 */
export function whenAnswered(reply: FastifyReply, callback: Callback): void {
  const { raw } = reply;
  const callbacks = waiting.get(raw);
  if (raw.closed) callback(raw.writableFinished);
  else if (callbacks !== undefined) callbacks.push(callback);
  else {
    const all = [callback];
    waiting.set(raw, all);
    raw.once('close', () => {
      for (const one of all) one(raw.writableFinished);
    });
  }
}
