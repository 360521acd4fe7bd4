// The parts of a flood run in processes of their own, so that none spoils the figures of another.
// Each is asked questions and answers each; an attacker's only hears the last.
import { type ChildProcess, fork } from 'node:child_process';

type Questions = Readonly<Record<string, (argument: never) => unknown>>;

/** In the child: answers its parent's questions, and ends with it. */
export function answerParent(questions: Questions): void {
  process.on('message', ({ question, argument }: { question: string; argument: unknown }) => {
    const answer = questions[question] as ((given: unknown) => unknown) | undefined;
    void Promise.resolve(answer?.(argument)).then((value) => process.send?.({ value }));
  });
  process.on('disconnect', () => process.exit(0));
}

/** A child that answers `Q`: by name, the argument and the answer. */
export interface Child<Q extends Questions> {
  ask<N extends keyof Q & string>(
    question: N,
    argument?: Parameters<Q[N]>[0],
  ): Promise<Awaited<ReturnType<Q[N]>>>;
  end(): Promise<void>;
}

export function startChild<Q extends Questions>(module: URL): Child<Q> {
  const child: ChildProcess = fork(module, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let last: Promise<unknown> = Promise.resolve();
  return {
    ask(question, argument) {
      const answered = last.then(
        () =>
          new Promise<Awaited<ReturnType<Q[typeof question]>>>((resolve, reject) => {
            const onExit = (code: number | null): void =>
              reject(new Error(`${module.pathname} ended with ${code} at ${question}`));
            child.once('exit', onExit);
            child.once(
              'message',
              ({ value }: { value: Awaited<ReturnType<Q[typeof question]>> }) => {
                child.off('exit', onExit);
                resolve(value);
              },
            );
            child.send({ question, argument });
          }),
      );
      last = answered.catch(() => {});
      return answered;
    },
    async end() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
