// Progress of long work: a bar on a terminal; elsewhere a line now and then, so that a log shows
// that something goes on without filling up.
import { SingleBar } from 'cli-progress';

export interface Progress {
  /** @param fraction 0 to 1; @param text what is being done, with its figures. */
  update(fraction: number, text: string): void;
  stop(): void;
}

/** Lines for a log: at the start of a step, and at each quarter. */
const LINE_STEP = 0.25;

export interface ProgressTarget {
  readonly stream: NodeJS.WriteStream;
  readonly isQuiet: boolean;
}

export function startProgress(title: string, target: ProgressTarget): Progress {
  if (target.isQuiet) return { update: () => undefined, stop: () => undefined };
  return target.stream.isTTY ? bar(title, target.stream) : lines(title, target.stream);
}

function bar(title: string, stream: NodeJS.WriteStream): Progress {
  const single = new SingleBar({
    format: `${title} [{bar}] {percentage}% {text}`,
    stream,
    hideCursor: true,
    barCompleteChar: '=',
    barIncompleteChar: ' ',
    barsize: 20,
    fps: 10,
  });
  single.start(100, 0, { text: '' });
  return {
    update: (fraction, text) => single.update(Math.round(fraction * 100), { text }),
    stop: () => single.stop(),
  };
}

function lines(title: string, stream: NodeJS.WriteStream): Progress {
  let nextAt = 0;
  let last = '';
  let written = '';
  const write = (line: string): void => {
    if (line === written) return;
    written = line;
    stream.write(`${line}\n`);
  };
  return {
    update: (fraction, text) => {
      last = `${title} ${Math.round(fraction * 100)}% ${text}`.trimEnd();
      if (fraction < nextAt) return;
      nextAt = fraction + LINE_STEP;
      write(last);
    },
    stop: () => {
      if (last !== '') write(last);
    },
  };
}
