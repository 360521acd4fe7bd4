// The heap of a running process, looked at over its inspector: garbage is collected first, so that
// what is counted is held. The process has to be started with INSPECTED in its environment.
import type { Member } from './member.ts';

export const INSPECTED = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };
const LISTENING = /Debugger listening on (ws:\S+)/g;
const ANSWER_MS = 20_000;

/** heapUsed and external of the main thread, in bytes. @throws when the process does not answer */
export async function heldBytes({ id, process }: Member): Promise<number> {
  const address = [...process.stderr().matchAll(LISTENING)].at(-1)?.[1];
  if (address === undefined) throw new Error(`${id} was not started with an inspector`);
  const socket = new WebSocket(address);
  const timer = setTimeout(() => socket.close(), ANSWER_MS);
  try {
    await opened(socket);
    // Twice: what the first finds unreachable may have kept something else.
    await ask(socket, 1, 'HeapProfiler.collectGarbage', {});
    await ask(socket, 2, 'HeapProfiler.collectGarbage', {});
    const expression = '(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())';
    const answer = await ask(socket, 3, 'Runtime.evaluate', { expression, returnByValue: true });
    const { value } = (answer as { readonly result: { readonly value: unknown } }).result;
    if (typeof value !== 'number') throw new Error(`${id} does not tell its memory`);
    return value;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error('the inspector does not answer'));
  });
}

function ask(socket: WebSocket, id: number, method: string, params: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    socket.onclose = () => reject(new Error(`the inspector did not answer ${method}`));
    socket.onmessage = ({ data }) => {
      const answer: { readonly id?: number; readonly result?: unknown } = JSON.parse(String(data));
      if (answer.id === id) resolve(answer.result);
    };
    socket.send(JSON.stringify({ id, method, params }));
  });
}
