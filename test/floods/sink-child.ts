// Takes connections, reads what comes and does nothing with it: an attack on it costs the machine
// what the attacker itself costs.
import { createServer } from 'node:net';
import { answerParent } from './child-process.ts';

const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.resume();
});
const port = await new Promise<number>((resolve) => {
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    resolve(address !== null && typeof address === 'object' ? address.port : 0);
  });
});

const questions = { port: () => port };
export type SinkQuestions = typeof questions;
answerParent(questions);
