// A client of HTTP that is too slow on purpose.
import { connect } from 'node:net';

const BYTE_EVERY_MS = 20;

/** Sends the start of a request, then a byte now and then, until the server ends it. */
export function drip(port: number, start: string): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const socket = connect(port, '127.0.0.1', () => {
    socket.write(start);
    timer = setInterval(() => socket.write('x'), BYTE_EVERY_MS);
  });
  socket.on('error', () => undefined);
  return new Promise((resolve) => {
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('close', () => {
      clearInterval(timer);
      resolve(answer);
    });
  });
}
